//! A TCP server on loopback that does what a script says, one step a request, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Step {
    /// The connection is accepted and closed; nothing is read.
    CloseUnread,
    /// The request is read, then the connection is closed.
    CloseUnanswered,
    /// The request is read, after a time these bytes are sent, then the connection is closed or kept.
    Say { after: Duration, bytes: Vec<u8>, keep: bool },
}

/// A request as it came: the line, the authorization header, the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
}

/// The server; its task ends when this is dropped.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves the steps in order; a request beyond the last is answered by closing.
    pub async fn new(steps: Vec<Step>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let steps = Arc::new(Mutex::new(VecDeque::from(steps)));
        let shared = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, steps.clone(), shared.clone()));
            }
        });
        Server { port, seen, task }
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, steps: Arc<Mutex<VecDeque<Step>>>, seen: Arc<Mutex<Seen>>) {
    loop {
        {
            let mut steps = steps.lock().unwrap();
            if matches!(steps.front(), Some(Step::CloseUnread)) {
                steps.pop_front();
                return;
            }
        }
        let Some(request) = read_request(&mut stream).await else { return };
        seen.lock().unwrap().requests.push(request);
        let step = steps.lock().unwrap().pop_front();
        match step {
            None | Some(Step::CloseUnread | Step::CloseUnanswered) => return,
            Some(Step::Say { after, bytes, keep }) => {
                tokio::time::sleep(after).await;
                if stream.write_all(&bytes).await.is_err() || !keep {
                    return;
                }
            }
        }
    }
}

/// Reads one whole request; `None` when the peer has closed.
async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => body.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
    Some(Request {
        path: head.split_whitespace().nth(1).unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// An HTTP answer with a JSON body.
pub fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Says these bytes at once and keeps the connection.
pub fn say(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Say { after: Duration::ZERO, bytes: bytes.into(), keep: true }
}

/// Says these bytes at once and closes.
pub fn say_and_close(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Say { after: Duration::ZERO, bytes: bytes.into(), keep: false }
}
