//! Bytes of a connection into lines, in bounded memory whatever is sent.

use sha2::{Digest, Sha256};

use super::dead::DEAD_HEAD_BYTES;
use super::line::Place;

/// Longest line of the protocol, without its newline: an event of 1 MiB and what is around it.
pub const LINE_BYTES_MAX: usize = (1 << 20) + (4 << 10);

/// One line with its place.
#[derive(Debug)]
pub struct Line<'a> {
    /// Where it stood.
    pub place: Place,
    /// What it is.
    pub body: Body<'a>,
}

/// What a line is.
#[derive(Debug)]
pub enum Body<'a> {
    /// The line without its newline.
    Whole(&'a [u8]),
    /// A line over [`LINE_BYTES_MAX`], of which only this is left.
    Long(LongLine),
}

/// What is kept of a line that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongLine {
    /// Its first 64 KiB.
    pub head: Vec<u8>,
    /// Its length, bytes.
    pub length: u64,
    /// SHA-256 of the whole line.
    pub sha256: [u8; 32],
}

/// Cuts bytes into lines. Holds at most one line and what was pushed last.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the line that is being read begins in the buffer.
    start: usize,
    /// Bytes of it that are known to hold no newline.
    searched: usize,
    skipped: Option<Skipped>,
    /// Lines and bytes given out.
    given: Place,
}

#[derive(Debug, Default)]
struct Skipped {
    head: Vec<u8>,
    length: u64,
    hash: Sha256,
}

impl Skipped {
    fn add(&mut self, bytes: &[u8]) {
        let room = DEAD_HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn end(self) -> LongLine {
        LongLine { head: self.head, length: self.length, sha256: self.hash.finalize().into() }
    }
}

impl Lines {
    /// Takes bytes as they came. To be called when [`Lines::next_line`] has nothing left.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line; none if more bytes are needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        let from = self.start + self.searched;
        let newline = self.buffer[from..].iter().position(|byte| *byte == b'\n');
        let Some(end) = newline.map(|at| from + at) else {
            self.searched = self.buffer.len() - self.start;
            self.skip_if_long();
            return None;
        };
        let start = std::mem::replace(&mut self.start, end + 1);
        self.searched = 0;
        let bytes = &self.buffer[start..end];
        if self.skipped.is_some() || bytes.len() > LINE_BYTES_MAX {
            let mut skipped = self.skipped.take().unwrap_or_default();
            skipped.add(bytes);
            let long = skipped.end();
            let place = count(&mut self.given, long.length + 1);
            return Some(Line { place, body: Body::Long(long) });
        }
        let place = count(&mut self.given, bytes.len() as u64 + 1);
        Some(Line { place, body: Body::Whole(bytes) })
    }

    /// At the end of the input: the line that has no newline, if there is one.
    pub fn last_line(&mut self) -> Option<Line<'_>> {
        let start = std::mem::replace(&mut self.start, self.buffer.len());
        self.searched = 0;
        let bytes = &self.buffer[start..];
        if let Some(mut skipped) = self.skipped.take() {
            skipped.add(bytes);
            let long = skipped.end();
            let place = count(&mut self.given, long.length);
            return Some(Line { place, body: Body::Long(long) });
        }
        if bytes.is_empty() {
            return None;
        }
        let place = count(&mut self.given, bytes.len() as u64);
        Some(Line { place, body: Body::Whole(bytes) })
    }

    /// Bytes held, for tests of the bound.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn skip_if_long(&mut self) {
        let bytes = &self.buffer[self.start..];
        if self.skipped.is_some() || bytes.len() > LINE_BYTES_MAX {
            self.skipped.get_or_insert_default().add(bytes);
            self.buffer.clear();
            (self.start, self.searched) = (0, 0);
        }
    }
}

/// The place of the next line, and moves on behind it.
fn count(given: &mut Place, bytes: u64) -> Place {
    let place = Place { line: given.line + 1, byte: given.byte };
    *given = Place { line: place.line, byte: place.byte + bytes };
    place
}
