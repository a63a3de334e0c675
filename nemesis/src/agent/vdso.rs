//! The kernel's shared object in every process (vDSO), and what takes the place of its clock functions: pure bytes.
//!
//! A process asks for the time without a system call: the kernel maps a small ELF object into it, and libraries (or, in
//! Go, the runtime itself) call `__vdso_clock_gettime`, `__vdso_gettimeofday` and `__vdso_time` there. The mapping is
//! private, so that one process can be given other functions than all others: the first five bytes of each become a jump
//! to a [stub](STUB) in room that nothing uses. The stub asks the kernel by the plain system call and adds a [`Shift`] to
//! `CLOCK_REALTIME` and `CLOCK_REALTIME_COARSE`. All other clocks stay true.
//!
//! Room is found behind the last used byte of the last page, or in the table of section headers (which debuggers may read
//! and nothing needs at run time; the ELF header then says that there is none).
//!
//! Cost: a call takes a system call (about 150 ns; two while there is drift or strobe) instead of about 20 ns.
//! Not covered: other processors than x86-64 and 32-bit processes; programs that make the system call themselves; waits
//! until an absolute `CLOCK_REALTIME` in the kernel, which stay true; times that the kernel writes (of files, say).

/// How many bytes each function loses to a jump.
pub const JUMP_BYTES: usize = 5;

/// The functions that are replaced, with the place of what replaces them in the blob.
const FUNCTIONS: [(&str, usize); 3] =
    [("__vdso_clock_gettime", 0x60), ("__vdso_gettimeofday", 0x9e), ("__vdso_time", 0xec)];

/// The first eight bytes of a blob: `CHMSCLK1`. The digit is the layout.
const MAGIC: u64 = 0x314b_4c43_534d_4843;
/// Where the number of the slot in use stands.
const INDEX_AT: usize = 8;
/// Where the number of the owner stands: two nodes may share a machine.
const OWNER_AT: usize = 12;
/// Where slots begin.
const SLOTS_AT: usize = 16;
/// The bytes of a slot.
const SLOT_BYTES: usize = 40;
/// Where code begins.
const CODE_AT: usize = SLOTS_AT + 2 * SLOT_BYTES;
/// Data and code.
pub const BLOB_BYTES: usize = CODE_AT + STUB.len();

/// What is added to the real clock, in the form of the stub: at the monotonic time `m` (nanoseconds)
/// `offset_ns + ((m - reference_ns) * rate_q32 >> 32)`, and `strobe_ns` more in every second half period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift {
    /// In nanoseconds.
    pub offset_ns: i64,
    /// Nanoseconds a nanosecond, times 2^32.
    pub rate_q32: i64,
    /// The monotonic time at which the drift was nothing, in nanoseconds.
    pub reference_ns: i64,
    /// In nanoseconds.
    pub strobe_ns: i64,
    /// In nanoseconds; 0 for no strobe.
    pub half_period_ns: i64,
}

impl Shift {
    /// What it adds at this monotonic time: what the stub computes.
    pub fn at(&self, monotonic_ns: i64) -> i64 {
        let drift = (i128::from(monotonic_ns.wrapping_sub(self.reference_ns)) * i128::from(self.rate_q32)) >> 32;
        let half = self.half_period_ns;
        let strobes = half > 0 && (monotonic_ns / half) % 2 == 1;
        // Only the low 64 bits are kept, as the stub does.
        self.offset_ns.wrapping_add(drift as i64).wrapping_add(if strobes { self.strobe_ns } else { 0 })
    }

    fn to_bytes(self) -> [u8; SLOT_BYTES] {
        let words = [self.offset_ns, self.rate_q32, self.reference_ns, self.strobe_ns, self.half_period_ns];
        let mut bytes = [0; SLOT_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Shift> {
        let word = |index: usize| Some(i64::from_le_bytes(bytes.get(8 * index..8 * index + 8)?.try_into().ok()?));
        Some(Shift {
            offset_ns: word(0)?,
            rate_q32: word(1)?,
            reference_ns: word(2)?,
            strobe_ns: word(3)?,
            half_period_ns: word(4)?,
        })
    }
}

/// Bytes, and where in the image they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset in the image.
    pub at: usize,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As the kernel made it.
    Pristine,
    /// Its functions are ours.
    Skewed {
        /// With this shift.
        shift: Shift,
        /// Who made them so.
        owner: u32,
    },
    /// Its functions are its own (all or some); our blob lies there and is not (or not wholly) in use.
    Partly {
        /// Who left it so.
        owner: u32,
        /// Whether any function is still ours.
        hooked: bool,
    },
    /// It is neither.
    Foreign,
}

/// The kernel's image, and where in it things go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pristine: Vec<u8>,
    /// Offset of each function, in the order of [`FUNCTIONS`]; a kernel may lack some.
    functions: Vec<(usize, usize)>,
    blob_at: usize,
    /// Whether the blob takes the place of the section headers.
    in_headers: bool,
}

impl Image {
    /// Reads the kernel's image.
    ///
    /// # Errors
    /// What is not as expected: no 64-bit ELF object, no clock functions, no room.
    pub fn parse(pristine: Vec<u8>) -> Result<Image, String> {
        let elf = Elf { bytes: &pristine };
        let found = elf.functions()?;
        let mut functions = Vec::new();
        for (name, stub_at) in FUNCTIONS {
            if let Some((_, at)) = found.iter().find(|(known, _)| known == name) {
                functions.push((*at, stub_at));
            }
        }
        if !found.iter().any(|(name, _)| name == FUNCTIONS[0].0) {
            return Err("the kernel's shared object has no __vdso_clock_gettime".to_owned());
        }
        let (blob_at, in_headers) = elf.room().ok_or("the kernel's shared object has no room for the stub")?;
        let inside = |at: &usize| at + JUMP_BYTES <= pristine.len();
        if !functions.iter().all(|(at, _)| inside(at)) {
            return Err("a function of the kernel's shared object lies outside of it".to_owned());
        }
        Ok(Image { pristine, functions, blob_at, in_headers })
    }

    /// The bytes as the kernel made them.
    pub fn pristine(&self) -> &[u8] {
        &self.pristine
    }

    /// The jumps: five bytes each.
    pub fn jumps(&self) -> Vec<Write> {
        let jump = |&(at, stub_at): &(usize, usize)| {
            let distance = (self.blob_at + stub_at) as i64 - (at + JUMP_BYTES) as i64;
            let mut bytes = vec![0xe9];
            // An image is a few pages: the distance fits.
            bytes.extend((distance as i32).to_le_bytes());
            Write { at, bytes }
        };
        self.functions.iter().map(jump).collect()
    }

    /// The own first bytes of the functions again.
    pub fn returns(&self) -> Vec<Write> {
        let own = |&(at, _): &(usize, usize)| Write { at, bytes: self.pristine[at..at + JUMP_BYTES].to_vec() };
        self.functions.iter().map(own).collect()
    }

    /// Everything but the jumps: data and code, which nothing reaches yet.
    pub fn blob(&self, shift: &Shift, owner: u32) -> Vec<Write> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(owner.to_le_bytes());
        bytes.extend(shift.to_bytes());
        bytes.extend(shift.to_bytes());
        bytes.extend(STUB);
        let mut writes = vec![Write { at: self.blob_at, bytes }];
        if self.in_headers {
            writes.extend(HEADER_WORDS.map(|(at, len)| Write { at, bytes: vec![0; len] }));
        }
        writes
    }

    /// What was there before the blob.
    pub fn unblob(&self) -> Vec<Write> {
        let own = |at: usize, len: usize| Write { at, bytes: self.pristine[at..at + len].to_vec() };
        let mut writes = vec![own(self.blob_at, BLOB_BYTES)];
        if self.in_headers {
            writes.extend(HEADER_WORDS.map(|(at, len)| own(at, len)));
        }
        writes
    }

    /// Gives an image whose functions are ours another shift: first the slot that is not in use, then the one byte that
    /// says which is. A reader that took the old number reads the old slot, whole, unless it rests between these two
    /// instructions over two changes.
    pub fn change(&self, now: &[u8], shift: &Shift) -> [Write; 2] {
        let index = now.get(self.blob_at + INDEX_AT).map_or(0, |byte| byte & 1);
        let other = 1 - index;
        let slot_at = self.blob_at + SLOTS_AT + usize::from(other) * SLOT_BYTES;
        [
            Write { at: slot_at, bytes: shift.to_bytes().to_vec() },
            Write { at: self.blob_at + INDEX_AT, bytes: vec![other] },
        ]
    }

    /// What an image of a process is.
    pub fn condition(&self, now: &[u8]) -> Condition {
        if now == self.pristine {
            return Condition::Pristine;
        }
        if now.len() != self.pristine.len() {
            return Condition::Foreign;
        }
        let has = |write: &Write| now.get(write.at..write.at + write.bytes.len()) == Some(&write.bytes[..]);
        let mut rest = now.to_vec();
        for write in self.returns().into_iter().chain(self.unblob()) {
            rest[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
        }
        let magic = Write { at: self.blob_at, bytes: MAGIC.to_le_bytes().to_vec() };
        if rest != self.pristine || !has(&magic) {
            return Condition::Foreign;
        }
        let mut owner = [0; 4];
        owner.copy_from_slice(&now[self.blob_at + OWNER_AT..self.blob_at + SLOTS_AT]);
        let owner = u32::from_le_bytes(owner);
        let code = Write { at: self.blob_at + CODE_AT, bytes: STUB.to_vec() };
        if has(&code) && self.jumps().iter().all(&has) {
            let index = usize::from(now[self.blob_at + INDEX_AT] & 1);
            let slot_at = self.blob_at + SLOTS_AT + index * SLOT_BYTES;
            let shift = Shift::from_bytes(&now[slot_at..]);
            return shift.map_or(Condition::Foreign, |shift| Condition::Skewed { shift, owner });
        }
        let entries = self.jumps().into_iter().zip(self.returns());
        let (mut known, mut hooked) = (true, false);
        for (jump, own) in entries {
            known &= has(&jump) || has(&own);
            hooked |= has(&jump);
        }
        if known { Condition::Partly { owner, hooked } } else { Condition::Foreign }
    }

    /// Whether a thread that is at this offset would break if the entries changed now: inside one of the replaced
    /// beginnings, but not at its first byte.
    pub fn is_in_an_entry(&self, at: usize) -> bool {
        self.functions.iter().any(|(entry, _)| (entry + 1..entry + JUMP_BYTES).contains(&at))
    }

    /// Whether this offset is in the blob.
    pub fn is_in_the_blob(&self, at: usize) -> bool {
        (self.blob_at..self.blob_at + BLOB_BYTES).contains(&at)
    }
}

/// In the ELF header: where the section headers are; how many, and which one has the names.
const HEADER_WORDS: [(usize, usize); 2] = [(40, 8), (60, 4)];

/// A reader of ELF that trusts no offset.
struct Elf<'a> {
    bytes: &'a [u8],
}

impl Elf<'_> {
    fn number(&self, at: usize, len: usize) -> Option<usize> {
        let mut word = [0; 8];
        word.get_mut(..len)?.copy_from_slice(self.bytes.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(word)).ok()
    }

    /// Kind, offset, address and size in the file of each part.
    fn parts(&self) -> Option<Vec<(usize, usize, usize, usize)>> {
        let (at, size, count) = (self.number(32, 8)?, self.number(54, 2)?, self.number(56, 2)?);
        let part = |index: usize| {
            let at = at.checked_add(size.checked_mul(index)?)?;
            Some((self.number(at, 4)?, self.number(at + 8, 8)?, self.number(at + 16, 8)?, self.number(at + 32, 8)?))
        };
        (0..count).map(part).collect()
    }

    /// Names and offsets of all functions.
    fn functions(&self) -> Result<Vec<(String, usize)>, String> {
        // 64 bits, little endian, x86-64.
        if self.bytes.get(..6) != Some(b"\x7fELF\x02\x01") || self.number(18, 2) != Some(62) {
            return Err("the kernel's shared object is not one of x86-64".to_owned());
        }
        self.symbols().ok_or_else(|| "the symbols of the kernel's shared object cannot be read".to_owned())
    }

    fn symbols(&self) -> Option<Vec<(String, usize)>> {
        let parts = self.parts()?;
        let load = parts.iter().find(|part| part.0 == 1)?;
        let base = load.2.checked_sub(load.1)?;
        let dynamic = parts.iter().find(|part| part.0 == 2)?;
        let tag = |wanted: usize| {
            let mut at = dynamic.1;
            while at < dynamic.1.checked_add(dynamic.3)? {
                if self.number(at, 8)? == wanted {
                    return self.number(at + 8, 8);
                }
                at += 16;
            }
            None
        };
        let (names_at, symbols_at) = (tag(5)?.checked_sub(base)?, tag(6)?.checked_sub(base)?);
        // The names follow the symbols; where they do not, the classic hash table knows the number.
        let count = match tag(4).and_then(|at| self.number(at.checked_sub(base)? + 4, 4)) {
            Some(count) => count,
            None => names_at.checked_sub(symbols_at)? / 24,
        };
        let mut found = Vec::new();
        for index in 0..count.min(1000) {
            let at = symbols_at + 24 * index;
            let (name_at, kind, value) = (self.number(at, 4)?, self.number(at + 4, 1)? & 15, self.number(at + 8, 8)?);
            if kind == 2 {
                let name = self.bytes.get(names_at.checked_add(name_at)?..)?;
                let name = name.split(|byte| *byte == 0).next()?;
                found.push((String::from_utf8_lossy(name).into_owned(), value.checked_sub(base)?));
            }
        }
        Some(found)
    }

    /// Room for the blob, at a multiple of 16, and whether that is the table of section headers.
    fn room(&self) -> Option<(usize, bool)> {
        let used = self.bytes.iter().rposition(|byte| *byte != 0)? + 1;
        let tail = used.next_multiple_of(16);
        if tail.checked_add(BLOB_BYTES)? <= self.bytes.len() {
            return Some((tail, false));
        }
        let (at, size, count) = (self.number(40, 8)?, self.number(58, 2)?, self.number(60, 2)?);
        let begin = at.next_multiple_of(16);
        let end = at.checked_add(size.checked_mul(count)?)?;
        let free = self.parts()?.iter().all(|(kind, offset, _, len)| {
            *kind == 1 || *len == 0 || offset.saturating_add(*len) <= begin || *offset >= end
        });
        (at > 0 && free && begin.checked_add(BLOB_BYTES)? <= end && end <= self.bytes.len()).then_some((begin, true))
    }
}

/// The code, which begins at [`CODE_AT`] of the blob: position-independent, and a leaf as far as its callers can tell (it
/// changes only what a C function may). Each line: bytes, place in the blob, what they are (Intel's order).
///
/// `cgt(clock, timespec*)`: the system call; on success, for clocks 0 and 5, adds and carries. `gtod(timeval*, timezone*)`
/// and `tm(time_t*)` alike. `shift()` answers what to add in rax; it keeps rdi and rsi only where they were saved.
#[rustfmt::skip]
const STUB: &[u8] = &[
    // cgt:
    0xb8, 0xe4, 0x00, 0x00, 0x00, // 060 mov eax,0xe4
    0x0f, 0x05, // 065 syscall
    0x85, 0xc0, // 067 test eax,eax
    0x75, 0x32, // 069 jne 0x9d
    0x85, 0xff, // 06b test edi,edi
    0x74, 0x05, // 06d je 0x74
    0x83, 0xff, 0x05, // 06f cmp edi,0x5
    0x75, 0x29, // 072 jne 0x9d
    0x56, // 074 push rsi
    0xe8, 0xb4, 0x00, 0x00, 0x00, // 075 call shift
    0x5e, // 07a pop rsi
    0x48, 0x03, 0x46, 0x08, // 07b add rax,[rsi+0x8]
    0x48, 0x99, // 07f cqo
    0xb9, 0x00, 0xca, 0x9a, 0x3b, // 081 mov ecx,1000000000
    0x48, 0xf7, 0xf9, // 086 idiv rcx
    0x48, 0x85, 0xd2, // 089 test rdx,rdx
    0x79, 0x06, // 08c jns 0x94
    0x48, 0x01, 0xca, // 08e add rdx,rcx
    0x48, 0xff, 0xc8, // 091 dec rax
    0x48, 0x01, 0x06, // 094 add [rsi],rax
    0x48, 0x89, 0x56, 0x08, // 097 mov [rsi+0x8],rdx
    0x31, 0xc0, // 09b xor eax,eax
    0xc3, // 09d ret
    // gtod:
    0xb8, 0x60, 0x00, 0x00, 0x00, // 09e mov eax,0x60
    0x0f, 0x05, // 0a3 syscall
    0x85, 0xc0, // 0a5 test eax,eax
    0x75, 0x42, // 0a7 jne 0xeb
    0x48, 0x85, 0xff, // 0a9 test rdi,rdi
    0x74, 0x3d, // 0ac je 0xeb
    0x57, // 0ae push rdi
    0xe8, 0x7a, 0x00, 0x00, 0x00, // 0af call shift
    0x5f, // 0b4 pop rdi
    0x48, 0x69, 0x4f, 0x08, 0xe8, 0x03, 0x00, 0x00, // 0b5 imul rcx,[rdi+0x8],0x3e8
    0x48, 0x01, 0xc8, // 0bd add rax,rcx
    0x48, 0x99, // 0c0 cqo
    0xb9, 0x00, 0xca, 0x9a, 0x3b, // 0c2 mov ecx,1000000000
    0x48, 0xf7, 0xf9, // 0c7 idiv rcx
    0x48, 0x85, 0xd2, // 0ca test rdx,rdx
    0x79, 0x06, // 0cd jns 0xd5
    0x48, 0x01, 0xca, // 0cf add rdx,rcx
    0x48, 0xff, 0xc8, // 0d2 dec rax
    0x48, 0x01, 0x07, // 0d5 add [rdi],rax
    0x48, 0x89, 0xd0, // 0d8 mov rax,rdx
    0x31, 0xd2, // 0db xor edx,edx
    0xb9, 0xe8, 0x03, 0x00, 0x00, // 0dd mov ecx,0x3e8
    0x48, 0xf7, 0xf1, // 0e2 div rcx
    0x48, 0x89, 0x47, 0x08, // 0e5 mov [rdi+0x8],rax
    0x31, 0xc0, // 0e9 xor eax,eax
    0xc3, // 0eb ret
    // tm:
    0x57, // 0ec push rdi
    0x48, 0x83, 0xec, 0x10, // 0ed sub rsp,0x10
    0xb8, 0xe4, 0x00, 0x00, 0x00, // 0f1 mov eax,0xe4
    0xbf, 0x05, 0x00, 0x00, 0x00, // 0f6 mov edi,0x5
    0x48, 0x89, 0xe6, // 0fb mov rsi,rsp
    0x0f, 0x05, // 0fe syscall
    0xe8, 0x29, 0x00, 0x00, 0x00, // 100 call shift
    0x48, 0x03, 0x44, 0x24, 0x08, // 105 add rax,[rsp+0x8]
    0x48, 0x99, // 10a cqo
    0xb9, 0x00, 0xca, 0x9a, 0x3b, // 10c mov ecx,1000000000
    0x48, 0xf7, 0xf9, // 111 idiv rcx
    0x48, 0x85, 0xd2, // 114 test rdx,rdx
    0x79, 0x03, // 117 jns 0x11c
    0x48, 0xff, 0xc8, // 119 dec rax
    0x48, 0x03, 0x04, 0x24, // 11c add rax,[rsp]
    0x48, 0x83, 0xc4, 0x10, // 120 add rsp,0x10
    0x5f, // 124 pop rdi
    0x48, 0x85, 0xff, // 125 test rdi,rdi
    0x74, 0x03, // 128 je 0x12d
    0x48, 0x89, 0x07, // 12a mov [rdi],rax
    0xc3, // 12d ret
    // shift:
    0x4c, 0x8d, 0x05, 0xcb, 0xfe, 0xff, 0xff, // 12e lea r8,[rip-0x135] (the begin of the blob)
    0x41, 0x0f, 0xb6, 0x40, 0x08, // 135 movzx eax,byte [r8+0x8]
    0x83, 0xe0, 0x01, // 13a and eax,0x1
    0x6b, 0xc0, 0x28, // 13d imul eax,eax,0x28
    0x4d, 0x8d, 0x44, 0x00, 0x10, // 140 lea r8,[r8+rax*1+0x10]
    0x49, 0x8b, 0x40, 0x08, // 145 mov rax,[r8+0x8]
    0x49, 0x0b, 0x40, 0x20, // 149 or rax,[r8+0x20]
    0x74, 0x5c, // 14d je 0x1ab
    0x57, // 14f push rdi
    0x48, 0x83, 0xec, 0x10, // 150 sub rsp,0x10
    0xb8, 0xe4, 0x00, 0x00, 0x00, // 154 mov eax,0xe4
    0xbf, 0x01, 0x00, 0x00, 0x00, // 159 mov edi,0x1
    0x48, 0x89, 0xe6, // 15e mov rsi,rsp
    0x0f, 0x05, // 161 syscall
    0x4c, 0x8b, 0x0c, 0x24, // 163 mov r9,[rsp]
    0x4d, 0x69, 0xc9, 0x00, 0xca, 0x9a, 0x3b, // 167 imul r9,r9,1000000000
    0x4c, 0x03, 0x4c, 0x24, 0x08, // 16e add r9,[rsp+0x8]
    0x48, 0x83, 0xc4, 0x10, // 173 add rsp,0x10
    0x5f, // 177 pop rdi
    0x4c, 0x89, 0xc8, // 178 mov rax,r9
    0x49, 0x2b, 0x40, 0x10, // 17b sub rax,[r8+0x10]
    0x49, 0xf7, 0x68, 0x08, // 17f imul [r8+0x8]
    0x48, 0x0f, 0xac, 0xd0, 0x20, // 183 shrd rax,rdx,0x20
    0x49, 0x03, 0x00, // 188 add rax,[r8]
    0x49, 0x89, 0xc2, // 18b mov r10,rax
    0x49, 0x8b, 0x48, 0x20, // 18e mov rcx,[r8+0x20]
    0x48, 0x85, 0xc9, // 192 test rcx,rcx
    0x74, 0x10, // 195 je 0x1a7
    0x4c, 0x89, 0xc8, // 197 mov rax,r9
    0x31, 0xd2, // 19a xor edx,edx
    0x48, 0xf7, 0xf1, // 19c div rcx
    0xa8, 0x01, // 19f test al,0x1
    0x74, 0x04, // 1a1 je 0x1a7
    0x4d, 0x03, 0x50, 0x18, // 1a3 add r10,[r8+0x18]
    0x4c, 0x89, 0xd0, // 1a7 mov rax,r10
    0xc3, // 1aa ret
    0x49, 0x8b, 0x00, // 1ab mov rax,[r8]
    0xc3, // 1ae ret
];

#[cfg(test)]
#[path = "vdso_tests.rs"]
mod tests;
