//! The decoders as the fuzzers of `sdk/native/fuzz` call them: any bytes in, taken or refused.
//!
//! A panic is a finding, and so is an object whose bytes are not those that it was read from, where
//! its encoding is the only one.

use crate::bitcoin::{address, psbt, transaction};
use crate::edge::{Fault, Outcome};
use crate::noise;
use crate::zk::reader::Reader;
use crate::zk::{babyjub, field, gnark, points, program, proving_key, ptau, r1cs, wtns, zkey};

/// A decoder: whether it took the bytes.
pub type Decoder = fn(&[u8]) -> bool;

/// Rows of a circuit whose key is read: the key must be as long as the circuit says.
const ROWS: usize = 1 << 10;

/// Every decoder by its name.
pub const DECODERS: &[(&str, Decoder)] = &[
    ("transaction", |raw| taken(&transaction::fields(raw))),
    ("psbt", |raw| taken(&psbt::read(raw))),
    ("address", |raw| taken(&read_address(raw))),
    ("r1cs", |raw| taken(&read_r1cs(raw))),
    ("wtns", |raw| taken(&read_wtns(raw))),
    ("zkey", |raw| taken(&zkey::Zkey::parse(raw))),
    ("ptau", |raw| taken(&ptau::Ptau::parse(raw))),
    ("program", |raw| taken(&read_program(raw))),
    ("proving_key", |raw| taken(&read_proving_key(raw))),
    ("proof", |raw| taken(&read_proof(raw))),
    ("verifying_key", |raw| taken(&read_key(raw))),
    ("gnark_proof", |raw| taken(&gnark::parse_proof(raw))),
    ("gnark_key", |raw| taken(&gnark::parse_key(raw))),
    ("babyjub", |raw| taken(&read_babyjub(raw))),
    ("noise", |raw| taken(&noise::hostile(raw))),
];

fn taken<T>(outcome: &Outcome<T>) -> bool {
    outcome.is_ok()
}

fn read_address(raw: &[u8]) -> Outcome<()> {
    let text = std::str::from_utf8(raw).map_err(|_| Fault::input("no text"))?;
    let script = address::decode(text, "bcrt")?;
    let again = address::encode(&script, "bcrt")?;
    assert!(
        again.eq_ignore_ascii_case(text),
        "{text} is written as {again}"
    );
    Ok(())
}

/// Reads a circuit, and computes its rows for a witness of ones.
fn read_r1cs(raw: &[u8]) -> Outcome<()> {
    let system = r1cs::R1cs::parse(raw)?;
    let wires = vec![ark_bn254::Fr::from(1u64); system.wires];
    let _ = system.products(&wires, 0)?.first_failing();
    Ok(())
}

fn read_wtns(raw: &[u8]) -> Outcome<()> {
    let wires = wtns::parse(raw)?;
    assert!(
        wtns::parse(&wtns::serialize(&wires))? == wires,
        "other wires"
    );
    Ok(())
}

/// Reads a program; one that takes few inputs is run on zeros.
fn read_program(raw: &[u8]) -> Outcome<()> {
    let program = program::Program::parse(raw)?;
    for count in 0..4 {
        let inputs = vec![ark_bn254::Fr::default(); count];
        if let Ok(wires) = program.run(&inputs) {
            assert!(wires.len() == program.wires(), "wires are missing");
        }
    }
    Ok(())
}

/// Four bytes of length, a circuit, and the rest is its key.
fn read_proving_key(raw: &[u8]) -> Outcome<()> {
    let mut both = Reader::new("circuit and key", raw);
    let size = both.count()?;
    let system = r1cs::R1cs::parse(both.take(size)?)?;
    let rows = (system.constraints + system.instance()).next_power_of_two();
    if rows > ROWS {
        return Err(both.fault("a large circuit"));
    }
    let key = both.take(both.left())?;
    proving_key::Bases::parse(key, &system, rows).map(|_| ())
}

fn read_proof(raw: &[u8]) -> Outcome<()> {
    let proof = points::parse_proof(raw)?;
    assert!(points::serialize(&proof)? == raw, "proof: other bytes");
    let again = points::proof_from_coordinates(&points::proof_coordinates(&proof))?;
    assert!(again == proof, "proof: other points");
    Ok(())
}

fn read_key(raw: &[u8]) -> Outcome<()> {
    let key = points::parse_key(raw)?;
    assert!(
        points::serialize(&key)? == raw,
        "verifying key: other bytes"
    );
    assert!(
        points::key_coordinates(&key).len() % field::SIZE == 0,
        "verifying key: half a coordinate"
    );
    points::check_key(&key, key.gamma_abc_g1.len().saturating_sub(1))
}

fn read_babyjub(raw: &[u8]) -> Outcome<()> {
    let [x, y] = babyjub::unpack(raw)?;
    assert!(babyjub::pack(&x, &y) == raw, "BabyJubJub: other bytes");
    babyjub::point(&x, &y).map(|_| ())
}
