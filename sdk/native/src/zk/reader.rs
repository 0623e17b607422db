//! Reading bytes that may lie: lengths are checked against what is there before anything is
//! allocated (threat Z22).

use crate::edge::{Fault, Kind, Outcome};

/// What is left of some bytes, and what they are called in errors.
pub struct Reader<'a> {
    rest: &'a [u8],
    name: &'static str,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(name: &'static str, raw: &'a [u8]) -> Self {
        Self { rest: raw, name }
    }

    /// What these bytes are called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// A fault of these bytes.
    pub fn fault(&self, text: impl AsRef<str>) -> Fault {
        self.fault_of(Kind::DecodeError, text)
    }

    /// A fault of these bytes, and of which kind.
    pub fn fault_of(&self, kind: Kind, text: impl AsRef<str>) -> Fault {
        Fault::decode(kind, format!("{}: {}", self.name, text.as_ref()))
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.fault_of(Kind::Truncated, format!("{count} bytes expected")))?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `count` things of `size` bytes each.
    pub fn take_many(&mut self, count: usize, size: usize) -> Outcome<&'a [u8]> {
        let bytes = count
            .checked_mul(size)
            .ok_or_else(|| self.fault_of(Kind::Truncated, "length overflows"))?;
        self.take(bytes)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let raw = self.take(N)?;
        raw.try_into()
            .map_err(|_| self.fault_of(Kind::Truncated, format!("{N} bytes expected")))
    }

    /// One byte.
    pub fn u8(&mut self) -> Outcome<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Four bytes, least significant first.
    pub fn u32(&mut self) -> Outcome<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, least significant first.
    pub fn u64(&mut self) -> Outcome<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of four bytes.
    pub fn count(&mut self) -> Outcome<usize> {
        Ok(self.u32()? as usize)
    }

    /// A size of eight bytes that cannot be larger than what is left.
    pub fn size(&mut self) -> Outcome<usize> {
        let size = self.u64()?;
        usize::try_from(size)
            .ok()
            .filter(|size| *size <= self.left())
            .ok_or_else(|| self.fault_of(Kind::Truncated, format!("section of {size} bytes")))
    }

    /// Refuses bytes that are left.
    pub fn end(&self) -> Outcome<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let text = format!("{} bytes left after the end", self.left());
        Err(self.fault_of(Kind::TrailingBytes, text))
    }

    /// iden3's container: magic, version, and sections of which each kind occurs once.
    pub fn sections(
        &mut self,
        magic: &[u8; 4],
        version: u32,
        kinds: u32,
    ) -> Outcome<Vec<Option<Reader<'a>>>> {
        if self.take(4)? != magic {
            return Err(self.fault("wrong magic"));
        }
        let found = self.u32()?;
        if found != version {
            return Err(self.fault(format!("version {found}, expected {version}")));
        }
        let mut sections: Vec<Option<Reader<'a>>> = (0..=kinds).map(|_| None).collect();
        for _ in 0..self.u32()? {
            let kind = self.u32()?;
            let size = self.size()?;
            let body = Reader::new(self.name, self.take(size)?);
            let unknown = self.fault(format!("section of kind {kind}"));
            let slot = sections.get_mut(kind as usize).ok_or(unknown)?;
            if slot.replace(body).is_some() {
                return Err(self.fault(format!("two sections of kind {kind}")));
            }
        }
        self.end()?;
        Ok(sections)
    }
}

/// The section of this kind, which must be there.
pub fn required<'a>(
    name: &'static str,
    sections: &mut [Option<Reader<'a>>],
    kind: usize,
) -> Outcome<Reader<'a>> {
    sections
        .get_mut(kind)
        .and_then(Option::take)
        .ok_or_else(|| Reader::new(name, &[]).fault(format!("no section of kind {kind}")))
}
