//! Frames: a kind, a length, a message, and a checksum over all three.

use std::io::{self, Read};

use super::error::{BackupError, Problem};

/// How every backup begins.
pub(super) const MAGIC: &[u8; 8] = b"CREDDBAK";
/// The format that is written and read.
pub(super) const FORMAT: u32 = 1;
/// The most bytes of a message: more than any that is written has.
pub(super) const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Part = 2,
    Trailer = 3,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Header),
            2 => Some(Self::Part),
            3 => Some(Self::Trailer),
            _ => None,
        }
    }
}

/// A frame of this message.
pub(super) fn frame(kind: Kind, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(1 + 4 + message.len() + 4);
    bytes.push(kind as u8);
    bytes.extend(length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Where it begins.
    pub(super) at: u64,
    /// All of it.
    bytes: Vec<u8>,
}

/// Kind and length.
const HEAD: usize = 1 + 4;

impl Frame {
    /// The next frame, which begins at this byte; `None`: nothing follows.
    pub(super) fn read(input: &mut impl Read, at: u64) -> Result<Option<Self>, BackupError> {
        let mut bytes = vec![0; HEAD];
        match fill(input, &mut bytes)? {
            0 => return Ok(None),
            HEAD => (),
            _ => return Err(Problem::Cut.at(at).into()),
        }
        let changed = || BackupError::from(Problem::Changed.at(at));
        let kind = Kind::of(bytes[0]).ok_or_else(changed)?;
        let mut length = [0; 4];
        length.copy_from_slice(&bytes[1..HEAD]);
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| changed())?;
        if length > MAX_MESSAGE_BYTES {
            return Err(changed());
        }
        bytes.resize(HEAD + length + 4, 0);
        if fill(input, &mut bytes[HEAD..])? < length + 4 {
            return Err(Problem::Cut.at(at).into());
        }
        let frame = Self { kind, at, bytes };
        let (content, checksum) = frame.bytes.split_at(HEAD + length);
        if crc32fast::hash(content).to_be_bytes() == checksum {
            Ok(Some(frame))
        } else {
            Err(changed())
        }
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.bytes[HEAD..self.bytes.len() - 4]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads until the buffer is full or the input has ended; how many bytes that were.
pub(super) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
