//! Witness programs (GWP1): straight-line code over the field, from inputs to all wires.
//!
//! All little-endian: "GWP1", u32 inputs, u32 constants, the constants (32 bytes each), u32
//! operations of (u8 code, u32 a, u32 b, u32 c), u32 wires, and for each wire the register that
//! holds it. Registers are the inputs, then the constants, then one per operation in order; an
//! operation reads earlier registers only, so every program ends and none can fail: dividing by
//! zero gives zero, and what the circuit says about it is the constraints' business.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInteger, BigInteger256, Field, PrimeField, Zero};
use num_bigint::BigUint;

use super::field;
use super::reader::Reader;
use crate::edge::{Fault, Kind, Outcome};

const NAME: &str = "witness program";
/// Bytes of one operation.
const OPERATION: usize = 13;
/// A bound for inputs, constants, operations and wires each.
const MAX_REGISTERS: usize = 1 << 23;
/// The largest number of bits that an operation counts: all of an element's.
const MAX_BITS: u32 = 254;

/// What an operation computes; `u32` is a register unless it is called `bits`.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Add(u32, u32),
    Sub(u32, u32),
    Mul(u32, u32),
    /// In the field.
    Div(u32, u32),
    /// Of integers.
    IntegerDiv(u32, u32),
    IntegerMod(u32, u32),
    Bit(u32, u32),
    LessThan(u32, u32),
    Equal(u32, u32),
    Select(u32, u32, u32),
    SquareRoot(u32),
    ShiftRight(u32, u32),
    LowBits(u32, u32),
}

impl Operation {
    /// Reads one operation that may use registers below `known`.
    fn read(raw: &mut Reader<'_>, known: usize) -> Outcome<Self> {
        let (code, a, b, c) = (raw.u8()?, raw.u32()?, raw.u32()?, raw.u32()?);
        let (operation, registers) = match code {
            0 => (Self::Add(a, b), 2),
            1 => (Self::Sub(a, b), 2),
            2 => (Self::Mul(a, b), 2),
            3 => (Self::Div(a, b), 2),
            4 => (Self::IntegerDiv(a, b), 2),
            5 => (Self::IntegerMod(a, b), 2),
            6 => (Self::Bit(a, b), 1),
            7 => (Self::LessThan(a, b), 2),
            8 => (Self::Equal(a, b), 2),
            9 => (Self::Select(a, b, c), 3),
            10 => (Self::SquareRoot(a), 1),
            11 => (Self::ShiftRight(a, b), 1),
            12 => (Self::LowBits(a, b), 1),
            _ => return Err(raw.fault(format!("operation {code}"))),
        };
        if [a, b, c]
            .iter()
            .take(registers)
            .any(|r| *r as usize >= known)
        {
            return Err(raw.fault(format!("operation reads a register of {known} or later")));
        }
        if matches!(code, 6 | 11 | 12) && b > MAX_BITS {
            return Err(raw.fault(format!("{b} bits, at most {MAX_BITS}")));
        }
        Ok(operation)
    }

    fn compute(self, registers: &[Fr]) -> Fr {
        // a register that is not there cannot be: `read` has looked
        let at = |r: u32| registers.get(r as usize).copied().unwrap_or_default();
        let flag = |holds: bool| if holds { Fr::ONE } else { Fr::ZERO };
        match self {
            Self::Add(a, b) => at(a) + at(b),
            Self::Sub(a, b) => at(a) - at(b),
            Self::Mul(a, b) => at(a) * at(b),
            Self::Div(a, b) => at(b).inverse().map_or(Fr::ZERO, |inverse| at(a) * inverse),
            Self::IntegerDiv(a, b) => integers(at(a), at(b), |a, b| a / b),
            Self::IntegerMod(a, b) => integers(at(a), at(b), |a, b| a % b),
            Self::Bit(a, bits) => flag(at(a).into_bigint().get_bit(bits as usize)),
            Self::LessThan(a, b) => flag(at(a).into_bigint() < at(b).into_bigint()),
            Self::Equal(a, b) => flag(at(a) == at(b)),
            Self::Select(a, b, c) => at(if at(a).is_zero() { c } else { b }),
            Self::SquareRoot(a) => Fr::from(BigUint::from(at(a).into_bigint()).sqrt()),
            Self::ShiftRight(a, bits) => element(at(a).into_bigint() >> bits),
            Self::LowBits(a, bits) => {
                let value = at(a).into_bigint();
                let mut high = value >> bits;
                high <<= bits;
                let mut low = value;
                low.sub_with_borrow(&high);
                element(low)
            }
        }
    }
}

/// An integer that is below r, since it came from a smaller or equal element.
fn element(value: BigInteger256) -> Fr {
    Fr::from_bigint(value).unwrap_or_default()
}

/// Applies an operation of integers whose result is at most its first operand; b = 0 gives 0.
fn integers(a: Fr, b: Fr, apply: impl Fn(BigUint, BigUint) -> BigUint) -> Fr {
    if b.is_zero() {
        return Fr::ZERO;
    }
    let (a, b) = (a.into_bigint(), b.into_bigint());
    Fr::from(apply(BigUint::from(a), BigUint::from(b)))
}

/// A program that has been checked as a whole.
pub struct Program {
    inputs: usize,
    constants: Vec<Fr>,
    operations: Vec<Operation>,
    outputs: Vec<u32>,
}

impl Program {
    /// Reads a program and checks every operand.
    pub fn parse(raw: &[u8]) -> Outcome<Self> {
        let mut raw = Reader::new(NAME, raw);
        if raw.take(4)? != b"GWP1" {
            return Err(raw.fault("wrong magic"));
        }
        let inputs = capped(&mut raw)?;
        let constants = capped(&mut raw)?;
        let constants: Vec<Fr> = raw
            .take_many(constants, field::SIZE)?
            .chunks_exact(field::SIZE)
            .map(field::from_le)
            .collect::<Outcome<_>>()?;
        let count = capped(&mut raw)?;
        let mut body = Reader::new(NAME, raw.take_many(count, OPERATION)?);
        let first = inputs + constants.len();
        let operations = (first..first + count)
            .map(|known| Operation::read(&mut body, known))
            .collect::<Outcome<Vec<_>>>()?;
        let wires = capped(&mut raw)?;
        let mut body = Reader::new(NAME, raw.take_many(wires, 4)?);
        raw.end()?;
        let outputs = (0..wires)
            .map(|_| body.u32())
            .collect::<Outcome<Vec<_>>>()?;
        if outputs.iter().any(|r| *r as usize >= first + count) {
            return Err(raw.fault("a wire is not one of the registers"));
        }
        Ok(Self {
            inputs,
            constants,
            operations,
            outputs,
        })
    }

    /// How many wires it computes.
    pub fn wires(&self) -> usize {
        self.outputs.len()
    }

    /// Computes all wires.
    pub fn run(&self, inputs: &[Fr]) -> Outcome<Vec<Fr>> {
        if inputs.len() != self.inputs {
            return Err(Fault::input(format!(
                "{NAME}: got {} inputs, expected {}",
                inputs.len(),
                self.inputs
            )));
        }
        let total = inputs.len() + self.constants.len() + self.operations.len();
        let mut registers = Vec::with_capacity(total);
        registers.extend_from_slice(inputs);
        registers.extend_from_slice(&self.constants);
        for operation in &self.operations {
            registers.push(operation.compute(&registers));
        }
        let wires: Vec<Fr> = self
            .outputs
            .iter()
            .filter_map(|r| registers.get(*r as usize).copied())
            .collect();
        if wires.first() != Some(&Fr::ONE) {
            return Err(Fault::input(format!("{NAME}: wire 0 is not one")));
        }
        Ok(wires)
    }
}

fn capped(raw: &mut Reader<'_>) -> Outcome<usize> {
    let count = raw.count()?;
    if count > MAX_REGISTERS {
        let text = format!("{count} items, at most {MAX_REGISTERS}");
        return Err(raw.fault_of(Kind::TooLarge, text));
    }
    Ok(count)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The bytes of a program with constants 0 and 1 after its inputs.
    pub fn file(inputs: u32, operations: &[(u8, u32, u32, u32)], wires: &[u32]) -> Vec<u8> {
        let mut raw = b"GWP1".to_vec();
        raw.extend(inputs.to_le_bytes());
        raw.extend(2u32.to_le_bytes());
        field::write_le(&Fr::ZERO, &mut raw);
        field::write_le(&Fr::ONE, &mut raw);
        raw.extend((operations.len() as u32).to_le_bytes());
        for (code, a, b, c) in operations {
            raw.push(*code);
            [a, b, c].iter().for_each(|r| raw.extend(r.to_le_bytes()));
        }
        raw.extend((wires.len() as u32).to_le_bytes());
        wires.iter().for_each(|r| raw.extend(r.to_le_bytes()));
        raw
    }

    fn one_operation(code: u8, a: u64, b: u64, b_bits: Option<u32>) -> Outcome<Fr> {
        let raw = file(2, &[(code, 0, b_bits.unwrap_or(1), 3)], &[3, 4]);
        let wires = Program::parse(&raw)?.run(&[Fr::from(a), Fr::from(b)])?;
        Ok(wires.get(1).copied().unwrap_or_default())
    }

    #[test]
    fn operations_do_what_they_say() {
        let cases = [
            (0u8, 7u64, 3u64, None, 10u64),
            (1, 7, 3, None, 4),
            (2, 7, 3, None, 21),
            (3, 21, 3, None, 7),
            (3, 21, 0, None, 0),
            (4, 17, 5, None, 3),
            (4, 17, 0, None, 0),
            (5, 17, 5, None, 2),
            (5, 17, 0, None, 0),
            (6, 8, 0, Some(3), 1),
            (6, 8, 0, Some(2), 0),
            (6, 8, 0, Some(254), 0),
            (7, 3, 4, None, 1),
            (7, 4, 4, None, 0),
            (8, 4, 4, None, 1),
            (8, 4, 5, None, 0),
            (9, 2, 5, None, 5),
            (9, 0, 5, None, 1),
            (10, 24, 0, None, 4),
            (11, 1000, 0, Some(3), 125),
            (11, 1000, 0, Some(254), 0),
            (12, 1000, 0, Some(3), 0),
            (12, 1003, 0, Some(3), 3),
            (12, 1003, 0, Some(254), 1003),
            (12, 1003, 0, Some(0), 0),
        ];
        for (code, a, b, bits, expected) in cases {
            let got = one_operation(code, a, b, bits);
            assert_eq!(got, Ok(Fr::from(expected)), "{code} {a} {b} {bits:?}");
        }
    }

    #[test]
    fn programs_that_reach_too_far_are_refused() {
        let refused = |raw: &[u8]| assert!(Program::parse(raw).is_err());
        refused(&file(1, &[(0, 0, 3, 0)], &[2])); // its own register
        refused(&file(1, &[(13, 0, 0, 0)], &[2])); // no such operation
        refused(&file(1, &[(6, 0, 255, 0)], &[2])); // bits of nothing
        refused(&file(1, &[], &[3])); // a wire that is no register
        let good = file(1, &[(0, 0, 1, 0)], &[2, 3]);
        for end in 0..good.len() {
            refused(&good[..end]);
        }
        refused(&[good.clone(), vec![0]].concat());
        for place in [4, 8, 76, 93] {
            let mut lying = good.clone();
            lying[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            refused(&lying);
        }
        assert!(Program::parse(&good).is_ok());
    }

    #[test]
    fn inputs_and_wire_0_are_checked_when_run() {
        let program = Program::parse(&file(1, &[], &[2, 0])).expect("well formed");
        assert!(program.run(&[]).is_err());
        assert!(program.run(&[Fr::ONE, Fr::ONE]).is_err());
        assert!(program.run(&[Fr::from(5u64)]).is_ok());
        let program = Program::parse(&file(1, &[], &[1, 0])).expect("well formed");
        assert!(program.run(&[Fr::from(5u64)]).is_err());
    }
}
