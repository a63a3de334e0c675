//! Which of several generators: by weight, whoever is first, in turn, or by the clock.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::Op;

use crate::context::Context;
use crate::generator::{Generator, Next, earlier};

/// Asks children from `first` on, around; takes the exhausted ones out. Tells which child gave the operation.
fn first_of<T>(children: &mut Vec<T>, first: usize, mut ask: impl FnMut(&mut T) -> Next) -> (Next, usize) {
    let mut until_ns = None;
    let mut place = first;
    let mut left = children.len();
    while left > 0 {
        place = if place >= children.len() { 0 } else { place };
        match ask(&mut children[place]) {
            Next::Op(invocation) => return (Next::Op(invocation), place),
            Next::Pending { until_ns: until } => {
                until_ns = earlier(until_ns, until);
                place += 1;
            }
            Next::Exhausted => {
                children.remove(place);
            }
        }
        left -= 1;
    }
    if children.is_empty() { (Next::Exhausted, 0) } else { (Next::Pending { until_ns }, first) }
}

/// See [`any`].
#[derive(Clone)]
pub struct Any {
    children: Vec<Box<dyn Generator>>,
    first: usize,
}

/// Whichever has something to do; if several have, they take turns. Exhausted when all are. All hear all events.
pub fn any(children: Vec<Box<dyn Generator>>) -> Any {
    Any { children, first: 0 }
}

impl Generator for Any {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let (answer, place) = first_of(&mut self.children, self.first, |child| child.next(context));
        if matches!(answer, Next::Op(_)) {
            self.first = place + 1;
        }
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.children.iter_mut().for_each(|child| child.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`mix`].
#[derive(Clone)]
pub struct Mix {
    children: Vec<(u32, Box<dyn Generator>)>,
    weight_sum: u64,
    chance: ChaCha8Rng,
}

/// A random one for each operation, by weight. When the one drawn has nothing now, the others are asked in their order,
/// so that it does not hold them up. Exhausted when all are; children of weight 0 only ever stand in. All hear all
/// events.
pub fn mix(chance: ChaCha8Rng, children: Vec<(u32, Box<dyn Generator>)>) -> Mix {
    let weight_sum = children.iter().map(|(weight, _)| u64::from(*weight)).sum();
    Mix { children, weight_sum, chance }
}

impl Mix {
    fn draw(&mut self) -> usize {
        if self.weight_sum == 0 {
            return 0;
        }
        let mut ticket = self.chance.random_range(0..self.weight_sum);
        for (place, (weight, _)) in self.children.iter().enumerate() {
            match ticket.checked_sub(u64::from(*weight)) {
                Some(rest) => ticket = rest,
                None => return place,
            }
        }
        0
    }
}

impl Generator for Mix {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let first = self.draw();
        let before = self.children.len();
        let (answer, _) = first_of(&mut self.children, first, |(_, child)| child.next(context));
        if self.children.len() != before {
            self.weight_sum = self.children.iter().map(|(weight, _)| u64::from(*weight)).sum();
        }
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.children.iter_mut().for_each(|(_, child)| child.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`flip_flop`].
#[derive(Clone)]
pub struct FlipFlop {
    pair: [Box<dyn Generator>; 2],
    turn: usize,
    over: bool,
}

/// One operation of the first, one of the second, and so on, strictly; exhausted as soon as the one whose turn it is is.
pub fn flip_flop(first: Box<dyn Generator>, second: Box<dyn Generator>) -> FlipFlop {
    FlipFlop { pair: [first, second], turn: 0, over: false }
}

impl Generator for FlipFlop {
    fn next(&mut self, context: &Context<'_>) -> Next {
        if self.over {
            return Next::Exhausted;
        }
        let answer = self.pair[self.turn].next(context);
        match answer {
            Next::Op(_) => self.turn = 1 - self.turn,
            Next::Exhausted => self.over = true,
            Next::Pending { .. } => {}
        }
        answer
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.pair.iter_mut().for_each(|child| child.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// See [`cycle_times`].
#[derive(Clone)]
pub struct CycleTimes {
    windows: Vec<Window>,
    start_ns: Option<u64>,
}

#[derive(Clone)]
struct Window {
    duration_ns: u64,
    child: Box<dyn Generator>,
    over: bool,
}

/// Each generator for its time, then the next, around and around from the first question on. A generator keeps its state
/// between its windows; one that is exhausted leaves its windows empty. Exhausted when all are. All hear all events.
pub fn cycle_times(windows: Vec<(u64, Box<dyn Generator>)>) -> CycleTimes {
    let windows = windows.into_iter().map(|(duration_ns, child)| Window { duration_ns, child, over: false });
    CycleTimes { windows: windows.collect(), start_ns: None }
}

impl Generator for CycleTimes {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let cycle_ns = self.windows.iter().fold(0_u64, |sum, window| sum.saturating_add(window.duration_ns));
        if cycle_ns == 0 || self.windows.iter().all(|window| window.over) {
            return Next::Exhausted;
        }
        let start_ns = *self.start_ns.get_or_insert(context.now_ns);
        let into_cycle_ns = (context.now_ns - start_ns) % cycle_ns;
        let mut end_ns = 0_u64;
        for window in &mut self.windows {
            end_ns = end_ns.saturating_add(window.duration_ns);
            if into_cycle_ns >= end_ns {
                continue;
            }
            let window_end_ns = context.now_ns.saturating_add(end_ns - into_cycle_ns);
            let answer = if window.over { Next::Exhausted } else { window.child.next(context) };
            return match answer {
                Next::Op(invocation) => Next::Op(invocation),
                Next::Pending { until_ns } => Next::Pending { until_ns: earlier(until_ns, Some(window_end_ns)) },
                Next::Exhausted => {
                    window.over = true;
                    Next::Pending { until_ns: Some(window_end_ns) }
                }
            };
        }
        Next::Exhausted
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.windows.iter_mut().for_each(|window| window.child.update(context, event));
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
