//! snarkjs' `.zkey` and `.wtns`: numbers little-endian and in Montgomery form, coefficients twice
//! so, the identity a point of zeros.

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ff::{AdditiveGroup, BigInteger, BigInteger256, PrimeField, Zero};
use ark_groth16::{ProvingKey, VerifyingKey};
use ark_relations::r1cs::ConstraintMatrices;

use crate::setup::{Circuit, Terms};

/// What is left of some bytes.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// The next bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count);
        self.0 = rest;
        head
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn limbs(&mut self) -> BigInteger256 {
        BigInteger256::new([(); 4].map(|()| self.u64()))
    }

    fn fq(&mut self) -> Fq {
        Fq::new_unchecked(self.limbs())
    }

    fn fq2(&mut self) -> Fq2 {
        Fq2::new(self.fq(), self.fq())
    }

    fn g1(&mut self) -> G1Affine {
        let (x, y) = (self.fq(), self.fq());
        if x.is_zero() && y.is_zero() {
            return G1Affine::identity();
        }
        G1Affine::new_unchecked(x, y)
    }

    fn g2(&mut self) -> G2Affine {
        let (x, y) = (self.fq2(), self.fq2());
        if x.is_zero() && y.is_zero() {
            return G2Affine::identity();
        }
        G2Affine::new_unchecked(x, y)
    }
}

/// The section of this kind of an iden3 file.
pub fn section(raw: &[u8], kind: usize) -> Bytes<'_> {
    let mut file = Bytes(&raw[12..]);
    loop {
        let (found, size) = (file.u32(), file.u64() as usize);
        let body = file.take(size);
        if found == kind {
            return Bytes(body);
        }
    }
}

/// All wires of a witness.
pub fn witness(raw: &[u8]) -> Vec<Fr> {
    let wires = section(raw, 2).0.chunks_exact(32);
    wires.map(Fr::from_le_bytes_mod_order).collect()
}

/// A key as arkworks wants it.
pub struct Key {
    /// Its points.
    pub proving: ProvingKey<Bn254>,
    /// A and B; C is not in the file.
    pub matrices: ConstraintMatrices<Fr>,
}

/// Reads a key.
pub fn read(raw: &[u8]) -> Key {
    let mut header = section(raw, 2);
    header.take(2 * (4 + 32));
    let [wires, publics, rows] = [(); 3].map(|()| header.u32());
    let (alpha_g1, beta_g1, beta_g2) = (header.g1(), header.g1(), header.g2());
    let (gamma_g2, delta_g1, delta_g2) = (header.g2(), header.g1(), header.g2());
    let g1s = |kind, count| -> Vec<G1Affine> {
        let mut body = section(raw, kind);
        (0..count).map(|_| body.g1()).collect()
    };
    let mut b_g2 = section(raw, 7);
    let proving = ProvingKey {
        vk: VerifyingKey {
            alpha_g1,
            beta_g2,
            gamma_g2,
            delta_g2,
            gamma_abc_g1: g1s(3, publics + 1),
        },
        beta_g1,
        delta_g1,
        a_query: g1s(5, wires),
        b_g1_query: g1s(6, wires),
        b_g2_query: (0..wires).map(|_| b_g2.g2()).collect(),
        h_query: g1s(9, rows),
        l_query: g1s(8, wires - publics - 1),
    };
    let mut both = [vec![Terms::new(); rows], vec![Terms::new(); rows]];
    let mut terms = section(raw, 4);
    for _ in 0..terms.u32() {
        let (matrix, row, wire) = (terms.u32(), terms.u32(), terms.u32());
        let once = Fr::new_unchecked(terms.limbs());
        let value = Fr::new_unchecked(once.into_bigint());
        both[matrix][row].push((value, wire));
    }
    let [a, b] = both;
    let matrices = ConstraintMatrices {
        num_instance_variables: publics + 1,
        num_witness_variables: wires - publics - 1,
        num_constraints: rows,
        a_num_non_zero: a.iter().map(Vec::len).sum(),
        b_num_non_zero: b.iter().map(Vec::len).sum(),
        c_num_non_zero: 0,
        a,
        b,
        c: Vec::new(),
    };
    Key { proving, matrices }
}

fn put_limbs(out: &mut Vec<u8>, limbs: &BigInteger256) {
    out.extend(limbs.to_bytes_le());
}

fn put_g1(out: &mut Vec<u8>, point: &G1Affine) {
    for coordinate in [point.x, point.y] {
        put_limbs(out, if point.infinity { &Fq::ZERO.0 } else { &coordinate.0 });
    }
}

fn put_g2(out: &mut Vec<u8>, point: &G2Affine) {
    for coordinate in [point.x.c0, point.x.c1, point.y.c0, point.y.c1] {
        put_limbs(out, if point.infinity { &Fq::ZERO.0 } else { &coordinate.0 });
    }
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend((value as u32).to_le_bytes());
}

/// Writes a key without a list of contributions.
pub fn write(key: &ProvingKey<Bn254>, circuit: &Circuit) -> Vec<u8> {
    let mut header = Vec::new();
    for modulus in [Fq::MODULUS, Fr::MODULUS] {
        put_u32(&mut header, 32);
        put_limbs(&mut header, &modulus);
    }
    let rows = circuit.rows.len().next_power_of_two();
    for count in [circuit.wires, circuit.instance - 1, rows] {
        put_u32(&mut header, count);
    }
    put_g1(&mut header, &key.vk.alpha_g1);
    put_g1(&mut header, &key.beta_g1);
    put_g2(&mut header, &key.vk.beta_g2);
    put_g2(&mut header, &key.vk.gamma_g2);
    put_g1(&mut header, &key.delta_g1);
    put_g2(&mut header, &key.vk.delta_g2);
    let mut terms = (0usize, Vec::new());
    for (row, matrices) in circuit.rows.iter().enumerate() {
        for (matrix, combination) in matrices.iter().take(2).enumerate() {
            for (value, wire) in combination {
                terms.0 += 1;
                for number in [matrix, row, *wire] {
                    put_u32(&mut terms.1, number);
                }
                put_limbs(&mut terms.1, &Fr::new(value.0).0);
            }
        }
    }
    let g1s = |points: &[G1Affine]| {
        let mut out = Vec::new();
        points.iter().for_each(|point| put_g1(&mut out, point));
        out
    };
    let mut b_g2 = Vec::new();
    key.b_g2_query.iter().for_each(|point| put_g2(&mut b_g2, point));
    let sections = [
        vec![1, 0, 0, 0],
        header,
        g1s(&key.vk.gamma_abc_g1),
        [(terms.0 as u32).to_le_bytes().to_vec(), terms.1].concat(),
        g1s(&key.a_query),
        g1s(&key.b_g1_query),
        b_g2,
        g1s(&key.l_query),
        g1s(&key.h_query),
    ];
    let mut file = b"zkey".to_vec();
    put_u32(&mut file, 1);
    put_u32(&mut file, sections.len());
    for (kind, body) in sections.iter().enumerate() {
        put_u32(&mut file, kind + 1);
        file.extend((body.len() as u64).to_le_bytes());
        file.extend(body);
    }
    file
}
