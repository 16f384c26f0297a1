//! A JSON scanner that finds where values begin and end without keeping them.
//!
//! It reads a stream through one fixed buffer, so a document may be larger than
//! memory, and it checks the grammar as it goes. It is as tolerant as Python's
//! reader where datasets need it (`NaN`, `Infinity`, `-Infinity`), and it never
//! converts a number: what is spliced around stays byte for byte.

use std::io::{self, Read};

/// Containers inside one another; FiftyOne's documents stay below a dozen.
const MAX_DEPTH: usize = 512;
const BUFFER: usize = 64 * 1024;

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The stream could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The text is not JSON.
    #[error("byte {offset}: {reason}")]
    Syntax {
        /// The byte at which it is not, from 0.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
}

/// The result of a scan.
pub type Scan<T> = Result<T, ScanError>;

/// What [`Scanner::walk`] meets, in the order of the text. Every method does nothing by default.
pub trait Visitor {
    /// Whether [`Visitor::key`] is wanted; without it no key is decoded.
    const KEYS: bool = true;

    /// A value begins at this offset, or is missing there.
    fn value(&mut self, _offset: u64) {}
    /// The value is an object.
    fn object(&mut self) {}
    /// The value is an array.
    fn array(&mut self) {}
    /// The next member of the object has this key.
    fn key(&mut self, _key: String) {}
    /// Another member or element of the innermost container follows.
    fn comma(&mut self) {}
    /// The innermost container ends.
    fn close(&mut self) {}
}

/// Walks past everything.
impl Visitor for () {
    const KEYS: bool = false;
}

/// Counts values.
pub(super) struct Count(pub(super) u64);

impl Visitor for Count {
    const KEYS: bool = false;

    fn value(&mut self, _offset: u64) {
        self.0 += 1;
    }
}

/// The number of values in a text, those inside of others included; up to where it is no longer
/// JSON.
#[must_use]
pub fn count_values(text: &[u8]) -> u64 {
    let mut count = Count(0);
    let mut scanner = Scanner::over(text);
    // What is wrong with the text is for its parser to say.
    let _ = scanner.walk(&mut count);
    count.0
}

/// A position in a stream of JSON text.
#[derive(Debug)]
pub struct Scanner<R> {
    source: R,
    buffer: Vec<u8>,
    /// The unread part of `buffer`.
    start: usize,
    end: usize,
    /// Where `buffer[0]` lies in the stream.
    base: u64,
}

impl<'a> Scanner<&'a [u8]> {
    /// Scans text that is in memory already.
    #[must_use]
    pub fn over(text: &'a [u8]) -> Self {
        Self::with_buffer(text, text.len().clamp(16, BUFFER))
    }
}

impl<R: Read> Scanner<R> {
    /// Scans a stream; needs no buffering of its own.
    pub fn new(source: R) -> Self {
        Self::with_buffer(source, BUFFER)
    }

    fn with_buffer(source: R, size: usize) -> Self {
        Self {
            source,
            buffer: vec![0; size],
            start: 0,
            end: 0,
            base: 0,
        }
    }

    /// The offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// An error at the next byte.
    ///
    /// # Errors
    /// Always.
    pub fn fail<T>(&self, reason: impl Into<String>) -> Scan<T> {
        Err(ScanError::Syntax {
            offset: self.offset(),
            reason: reason.into(),
        })
    }

    /// The unread bytes in the buffer, filled when it is empty; empty at the end.
    fn ahead(&mut self) -> Scan<&[u8]> {
        if self.start == self.end {
            self.base += self.end as u64;
            (self.start, self.end) = (0, 0);
            self.end = loop {
                match self.source.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read?,
                }
            };
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn peek(&mut self) -> Scan<Option<u8>> {
        Ok(self.ahead()?.first().copied())
    }

    fn next(&mut self) -> Scan<Option<u8>> {
        let byte = self.peek()?;
        self.start += usize::from(byte.is_some());
        Ok(byte)
    }

    /// The next byte that is not white space, not yet consumed.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub fn peek_token(&mut self) -> Scan<Option<u8>> {
        loop {
            let ahead = self.ahead()?;
            if ahead.is_empty() {
                return Ok(None);
            }
            let blank = ahead
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
                .count();
            let token = ahead.get(blank).copied();
            self.start += blank;
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    /// Consumes `byte` if it is the next token.
    fn take(&mut self, byte: u8) -> Scan<bool> {
        let found = self.peek_token()? == Some(byte);
        self.start += usize::from(found);
        Ok(found)
    }

    fn expect(&mut self, byte: u8) -> Scan<()> {
        if self.take(byte)? {
            return Ok(());
        }
        let found = self.peek()?;
        self.fail(format!(
            "expected '{}', found {}",
            char::from(byte),
            name(found)
        ))
    }

    /// Makes sure that nothing but white space follows.
    ///
    /// # Errors
    /// The stream cannot be read, or something follows.
    pub fn finish(&mut self) -> Scan<()> {
        match self.peek_token()? {
            None => Ok(()),
            found => self.fail(format!("{} after the end of the document", name(found))),
        }
    }

    /// Walks an object: `visit` gets each key, stands before its value and must
    /// consume it. Returns the offset just after the last value, or after `{`.
    ///
    /// # Errors
    /// The stream cannot be read, the text is not an object, or `visit` fails.
    pub fn object<E: From<ScanError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, String) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.expect(b'{')?;
        let mut last = self.offset();
        if self.take(b'}')? {
            return Ok(last);
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            self.peek_token()?;
            visit(self, key)?;
            last = self.offset();
            if !self.take(b',')? {
                self.expect(b'}')?;
                return Ok(last);
            }
        }
    }

    /// Walks an array: `visit` stands before each element and must consume it.
    /// Returns the offset just after the last element, or after `[`.
    ///
    /// # Errors
    /// The stream cannot be read, the text is not an array, or `visit` fails.
    pub fn array<E: From<ScanError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.expect(b'[')?;
        let mut last = self.offset();
        if self.take(b']')? {
            return Ok(last);
        }
        loop {
            self.peek_token()?;
            visit(self)?;
            last = self.offset();
            if !self.take(b',')? {
                self.expect(b']')?;
                return Ok(last);
            }
        }
    }

    /// Consumes one value of any kind.
    ///
    /// # Errors
    /// The stream cannot be read, or the text is not a value.
    pub fn skip_value(&mut self) -> Scan<()> {
        self.walk(&mut ())
    }

    /// Consumes one value of any kind and tells `visitor` what is in it.
    ///
    /// # Errors
    /// The stream cannot be read, or the text is not a value.
    pub fn walk<V: Visitor>(&mut self, visitor: &mut V) -> Scan<()> {
        let mut open: Vec<u8> = Vec::new();
        'value: loop {
            let token = self.peek_token()?;
            visitor.value(self.offset());
            match token {
                Some(b'{') => {
                    self.start += 1;
                    visitor.object();
                    if !self.take(b'}')? {
                        self.descend(&mut open, b'}')?;
                        self.key(visitor)?;
                        continue 'value;
                    }
                    visitor.close();
                }
                Some(b'[') => {
                    self.start += 1;
                    visitor.array();
                    if !self.take(b']')? {
                        self.descend(&mut open, b']')?;
                        continue 'value;
                    }
                    visitor.close();
                }
                Some(b'"') => self.skip_string(None)?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                Some(b'a'..=b'z' | b'A'..=b'Z') => self.skip_word()?,
                found => return self.fail(format!("expected a value, found {}", name(found))),
            }
            // A value has ended: close what it closes.
            while let Some(&close) = open.last() {
                if self.take(b',')? {
                    visitor.comma();
                    if close == b'}' {
                        self.key(visitor)?;
                    }
                    continue 'value;
                }
                self.expect(close)?;
                visitor.close();
                open.pop();
            }
            return Ok(());
        }
    }

    fn descend(&self, open: &mut Vec<u8>, close: u8) -> Scan<()> {
        if open.len() == MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        open.push(close);
        Ok(())
    }

    /// Consumes the key of a member and its colon.
    fn key<V: Visitor>(&mut self, visitor: &mut V) -> Scan<()> {
        if V::KEYS {
            let key = self.string()?;
            visitor.key(key);
        } else {
            self.peek_token()?;
            self.skip_string(None)?;
        }
        self.expect(b':')
    }

    /// Consumes a string and returns its text. Half of a surrogate pair has no
    /// text: such a string comes back as it is spelled.
    fn string(&mut self) -> Scan<String> {
        self.peek_token()?;
        let mut raw = Vec::new();
        self.skip_string(Some(&mut raw))?;
        Ok(serde_json::from_slice(&raw)
            .unwrap_or_else(|_| String::from_utf8_lossy(&raw).into_owned()))
    }

    fn skip_string(&mut self, mut keep: Option<&mut Vec<u8>>) -> Scan<()> {
        if self.peek()? != Some(b'"') {
            let found = self.peek()?;
            return self.fail(format!("expected a string, found {}", name(found)));
        }
        self.start += 1;
        let mut keep_bytes = |bytes: &[u8]| {
            if let Some(kept) = keep.as_deref_mut() {
                kept.extend_from_slice(bytes);
            }
        };
        keep_bytes(b"\"");
        loop {
            let ahead = self.ahead()?;
            if ahead.is_empty() {
                return self.fail("the text ends inside a string");
            }
            let plain = ahead
                .iter()
                .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')
                .unwrap_or(ahead.len());
            keep_bytes(ahead.get(..plain).unwrap_or_default());
            let stop = ahead.get(plain).copied();
            self.start += plain;
            match stop {
                None => {}
                Some(b'"') => {
                    keep_bytes(b"\"");
                    self.start += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.start += 1;
                    keep_bytes(b"\\");
                    let escape = self.next()?;
                    let digits = match escape {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
                        Some(b'u') => 4,
                        found => return self.fail(format!("no such escape: {}", name(found))),
                    };
                    keep_bytes(escape.as_slice());
                    for _ in 0..digits {
                        match self.next()? {
                            Some(digit) if digit.is_ascii_hexdigit() => keep_bytes(&[digit]),
                            found => {
                                return self.fail(format!(
                                    "expected a hexadecimal digit, found {}",
                                    name(found)
                                ));
                            }
                        }
                    }
                }
                Some(_) => return self.fail("a control character inside a string"),
            }
        }
    }

    fn skip_number(&mut self) -> Scan<()> {
        if self.peek()? == Some(b'-') {
            self.start += 1;
            if self.peek()? == Some(b'I') {
                return self.skip_word();
            }
        }
        if self.peek()? == Some(b'0') {
            self.start += 1;
        } else {
            self.digits()?;
        }
        if self.peek()? == Some(b'.') {
            self.start += 1;
            self.digits()?;
        }
        if matches!(self.peek()?, Some(b'e' | b'E')) {
            self.start += 1;
            if matches!(self.peek()?, Some(b'+' | b'-')) {
                self.start += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let mut any = false;
        while matches!(self.peek()?, Some(b'0'..=b'9')) {
            self.start += 1;
            any = true;
        }
        if any {
            return Ok(());
        }
        let found = self.peek()?;
        self.fail(format!("expected a digit, found {}", name(found)))
    }

    fn skip_word(&mut self) -> Scan<()> {
        let offset = self.offset();
        let mut word = Vec::new();
        while let Some(letter @ (b'a'..=b'z' | b'A'..=b'Z')) = self.peek()? {
            word.push(letter);
            self.start += 1;
            if word.len() > 8 {
                break;
            }
        }
        match word.as_slice() {
            b"true" | b"false" | b"null" | b"NaN" | b"Infinity" => Ok(()),
            _ => Err(ScanError::Syntax {
                offset,
                reason: format!("no such value: {}", String::from_utf8_lossy(&word)),
            }),
        }
    }
}

fn name(byte: Option<u8>) -> String {
    match byte {
        None => "the end of the text".to_owned(),
        Some(byte @ b'!'..=b'~') => format!("'{}'", char::from(byte)),
        Some(byte) => format!("byte 0x{byte:02x}"),
    }
}

#[cfg(test)]
mod tests;
