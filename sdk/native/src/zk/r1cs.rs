//! Constraint systems in iden3's `.r1cs` v1, kept as three sparse matrices.

use ark_bn254::Fr;
use ark_ff::AdditiveGroup;
use rayon::prelude::*;

use super::field;
use super::reader::{required, Reader};
use crate::edge::{Fault, Kind, Outcome};

const NAME: &str = "r1cs";
/// Bytes of one term: a wire and its coefficient.
const TERM: usize = 4 + field::SIZE;
/// More constraints than a machine of this project proves; a bound for allocations.
pub const MAX_CONSTRAINTS: usize = 1 << 22;
/// Likewise for wires.
pub const MAX_WIRES: usize = 1 << 23;
/// Rows that one task of the thread pool computes.
const ROWS_PER_TASK: usize = 256;

/// One of A, B and C: linear combinations one after the other.
#[derive(Default)]
pub struct Matrix {
    /// Where each row's terms end.
    ends: Vec<usize>,
    terms: Vec<(u32, Fr)>,
}

impl Matrix {
    fn push_row(&mut self, body: &mut Reader<'_>, wires: usize) -> Outcome<()> {
        let count = body.count()?;
        for term in body.take_many(count, TERM)?.chunks_exact(TERM) {
            let mut term = Reader::new(NAME, term);
            let wire = term.u32()?;
            if wire as usize >= wires {
                return Err(term.fault(format!("wire {wire} of {wires}")));
            }
            self.terms
                .push((wire, field::from_le(term.take(field::SIZE)?)?));
        }
        self.ends.push(self.terms.len());
        Ok(())
    }

    /// The terms of each row in order.
    pub fn rows(&self) -> impl Iterator<Item = &[(u32, Fr)]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.terms.get(*start..*end).unwrap_or_default())
    }

    fn row(&self, index: usize) -> &[(u32, Fr)] {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
        };
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.terms.get(start..end).unwrap_or_default()
    }

    /// This row's linear combination of the wires.
    fn value(&self, index: usize, wires: &[Fr]) -> Fr {
        let mut sum = Fr::ZERO;
        for (wire, coefficient) in self.row(index) {
            if let Some(value) = wires.get(*wire as usize) {
                sum += *value * coefficient;
            }
        }
        sum
    }
}

/// A constraint system: for each row, (A w) (B w) = C w.
pub struct R1cs {
    /// All wires with wire 0, the constant one.
    pub wires: usize,
    /// Public wires that are outputs; they come first.
    pub public_outputs: usize,
    /// Public wires that are inputs.
    pub public_inputs: usize,
    /// Private wires that are inputs.
    pub private_inputs: usize,
    /// Signals of the source.
    pub labels: u64,
    /// Number of rows.
    pub constraints: usize,
    /// Left factors.
    pub a: Matrix,
    /// Right factors.
    pub b: Matrix,
    /// Products.
    pub c: Matrix,
}

/// (A w), (B w) and (C w) of every row.
pub struct Products {
    /// Left factors.
    pub a: Vec<Fr>,
    /// Right factors.
    pub b: Vec<Fr>,
    /// Products.
    pub c: Vec<Fr>,
}

impl R1cs {
    /// Reads a whole file; what its header says must agree with the rest.
    pub fn parse(raw: &[u8]) -> Outcome<Self> {
        let mut file = Reader::new(NAME, raw);
        // kinds 4 and 5 hold custom gates, which Groth16 has no use for
        let mut sections = file.sections(b"r1cs", 1, 3)?;
        let mut header = required(NAME, &mut sections, 1)?;
        if header.count()? != field::SIZE || header.take(field::SIZE)? != field::modulus_le() {
            return Err(header.fault("not over BN254's scalar field"));
        }
        let mut system = Self {
            wires: header.count()?,
            public_outputs: header.count()?,
            public_inputs: header.count()?,
            private_inputs: header.count()?,
            labels: header.u64()?,
            constraints: header.count()?,
            a: Matrix::default(),
            b: Matrix::default(),
            c: Matrix::default(),
        };
        header.end()?;
        let named = [
            1,
            system.public_outputs,
            system.public_inputs,
            system.private_inputs,
        ]
        .iter()
        .try_fold(0usize, |sum, part| sum.checked_add(*part));
        // each wire has a label of eight bytes, so a file cannot claim more than it can name
        if named.is_none_or(|named| named > system.wires) || system.wires > raw.len() / 8 {
            return Err(header.fault(format!("header claims {} wires", system.wires)));
        }
        if system.wires > MAX_WIRES || system.constraints > MAX_CONSTRAINTS {
            let text = format!("{} wires, {} rows", system.wires, system.constraints);
            return Err(header.fault_of(Kind::TooLarge, text));
        }
        if system.constraints == 0 {
            return Err(header.fault("no constraints"));
        }
        if let Some(Some(labels)) = sections.get(3) {
            if labels.left() != system.wires * 8 {
                return Err(header.fault("labels do not match the wires"));
            }
        }
        let mut body = required(NAME, &mut sections, 2)?;
        for _ in 0..system.constraints {
            system.a.push_row(&mut body, system.wires)?;
            system.b.push_row(&mut body, system.wires)?;
            system.c.push_row(&mut body, system.wires)?;
        }
        body.end()?;
        Ok(system)
    }

    /// How many public inputs a proof has.
    pub fn publics(&self) -> usize {
        self.public_outputs + self.public_inputs
    }

    /// Wire 0 and the public wires.
    pub fn instance(&self) -> usize {
        1 + self.publics()
    }

    /// Computes both sides of every row; `room` is how many elements each list has space for.
    pub fn products(&self, wires: &[Fr], room: usize) -> Outcome<Products> {
        wires_fit(wires, self.wires)?;
        let column = |matrix: &Matrix| {
            let mut values = Vec::with_capacity(room.max(self.constraints));
            (0..self.constraints)
                .into_par_iter()
                .with_min_len(ROWS_PER_TASK)
                .map(|row| matrix.value(row, wires))
                .collect_into_vec(&mut values);
            values
        };
        Ok(Products {
            a: column(&self.a),
            b: column(&self.b),
            c: column(&self.c),
        })
    }
}

/// Refuses a witness with another number of wires than the circuit has.
pub fn wires_fit(wires: &[Fr], expected: usize) -> Outcome<()> {
    if wires.len() == expected {
        return Ok(());
    }
    Err(Fault::input(format!(
        "witness: got {} wires, the circuit has {expected}",
        wires.len()
    )))
}

impl Products {
    /// The first row that does not hold.
    pub fn first_failing(&self) -> Option<usize> {
        let sides = self.a.iter().zip(&self.b).zip(&self.c);
        sides
            .map(|((a, b), c)| *a * b == *c)
            .position(|holds| !holds)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Terms of one row: (wire, coefficient) of A, B and C.
    pub type Row<'a> = [&'a [(u32, u64)]; 3];

    /// The bytes of a system without labels; (wires, outputs, inputs, private inputs).
    pub fn file(shape: [u32; 4], rows: &[Row<'_>]) -> Vec<u8> {
        let mut header = (field::SIZE as u32).to_le_bytes().to_vec();
        header.extend(field::modulus_le());
        shape.iter().for_each(|x| header.extend(x.to_le_bytes()));
        header.extend(u64::from(shape[0]).to_le_bytes());
        header.extend((rows.len() as u32).to_le_bytes());
        let mut body = Vec::new();
        for combination in rows.iter().flatten() {
            body.extend((combination.len() as u32).to_le_bytes());
            for (wire, coefficient) in *combination {
                body.extend(wire.to_le_bytes());
                field::write_le(&Fr::from(*coefficient), &mut body);
            }
        }
        let labels: Vec<u8> = (0..u64::from(shape[0]))
            .flat_map(u64::to_le_bytes)
            .collect();
        let mut raw = b"r1cs\x01\0\0\0\x03\0\0\0".to_vec();
        for (kind, section) in [(1u32, header), (2, body), (3, labels)] {
            raw.extend(kind.to_le_bytes());
            raw.extend((section.len() as u64).to_le_bytes());
            raw.extend(section);
        }
        raw
    }

    /// Wires: one, product (public), left, right.
    pub fn multiplier() -> Vec<u8> {
        file([4, 1, 0, 2], &[[&[(2, 1)], &[(3, 1)], &[(1, 1)]]])
    }

    #[test]
    fn reads_and_checks_a_multiplier() {
        let system = R1cs::parse(&multiplier()).expect("well formed");
        assert_eq!(
            (system.wires, system.publics(), system.constraints),
            (4, 1, 1)
        );
        let failing = |wires: [u64; 4]| {
            let wires = wires.map(Fr::from);
            system.products(&wires, 0).map(|p| p.first_failing())
        };
        assert_eq!(failing([1, 33, 3, 11]), Ok(None));
        assert_eq!(failing([1, 34, 3, 11]), Ok(Some(0)));
        assert!(system.products(&[Fr::from(1u64)], 0).is_err());
    }

    #[test]
    fn every_truncation_and_any_trailing_byte_is_refused() {
        let raw = multiplier();
        for end in 0..raw.len() {
            assert!(R1cs::parse(&raw[..end]).is_err(), "{end}");
        }
        let mut longer = raw;
        longer.push(0);
        assert!(R1cs::parse(&longer).is_err());
    }

    #[test]
    fn lying_headers_are_refused_without_allocation() {
        let raw = multiplier();
        // wires, outputs, inputs, private inputs, constraints; then the terms of the first row
        for place in [60, 64, 68, 72, 84, 100] {
            let mut lying = raw.clone();
            lying[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(R1cs::parse(&lying).is_err(), "{place}");
        }
        assert!(R1cs::parse(&file([4, 1, 0, 2], &[])).is_err());
    }

    #[test]
    fn wires_and_coefficients_out_of_range_are_refused() {
        assert!(R1cs::parse(&file([4, 1, 0, 2], &[[&[(4, 1)], &[], &[]]])).is_err());
        let mut raw = multiplier();
        let coefficient = 12 + 12 + 64 + 12 + 8;
        raw[coefficient..coefficient + 32].copy_from_slice(&field::modulus_le());
        assert!(R1cs::parse(&raw).is_err());
    }
}
