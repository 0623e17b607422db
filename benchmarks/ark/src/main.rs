//! arkworks' own Groth16 prover on snarkjs' files, the reference of `make bench-prover`.
//!
//!     ark-reference setup CIRCUIT.r1cs KEY.zkey    a key from a fixed seed: for measuring only
//!     ark-reference prove KEY.zkey WITNESS.wtns    one proof for each line on standard input
//!
//! Files are trusted: they come from the benchmark. What a proof took and the proof itself are
//! printed as JSON, one line a proof; reading files is not timed.

use std::error::Error;
use std::io::{stdin, BufRead, Write};
use std::time::Instant;

use ark_bn254::{Bn254, Fr};
use ark_ff::UniformRand;
use ark_groth16::Groth16;
use ark_serialize::CanonicalSerialize;
use cpu_time::ProcessTime;
use rand::rngs::OsRng;

mod reduction;
mod setup;
mod zkey;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Ark = Groth16<Bn254, reduction::Snarkjs>;

fn prove(key: &str, witness: &str) -> Outcome<()> {
    let key = zkey::read(&std::fs::read(key)?);
    let wires = zkey::witness(&std::fs::read(witness)?);
    println!("{{\"threads\":{}}}", rayon::current_num_threads());
    for line in stdin().lock().lines() {
        line?;
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        let proof = Ark::create_proof_with_reduction_and_matrices(
            &key.proving,
            Fr::rand(&mut OsRng),
            Fr::rand(&mut OsRng),
            &key.matrices,
            key.matrices.num_instance_variables,
            key.matrices.num_constraints,
            &wires,
        )?;
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
        let mut raw = Vec::new();
        proof.serialize_compressed(&mut raw)?;
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{{\"run\":[{wall},{cpu}],\"proof\":\"{hex}\"}}");
        std::io::stdout().flush()?;
    }
    Ok(())
}


fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["setup", circuit, key] => Ok(std::fs::write(key, setup::zkey(&std::fs::read(circuit)?)?)?),
        ["prove", key, witness] => prove(key, witness),
        _ => Err("usage: ark-reference setup R1CS ZKEY | prove ZKEY WTNS".into()),
    }
}
