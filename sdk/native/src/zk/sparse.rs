//! Poseidon's partial rounds with sparse matrices: the same function for a quarter of the work.
//!
//! Only the first element meets the S-box there. So what a round's matrix M does to the others can
//! wait: with P for what waits, M * diag(1, P) = diag(1, P') * S, where P' is M's lower right block
//! times P, and S has a first row, a first column and ones. P' passes over the next round's S-box,
//! which does not touch those elements, and so on; the last P is applied once. The others' round
//! constants come in as one number for the first element each round, and one vector at the end.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

type Matrix = Vec<Vec<Fr>>;

/// One round: what the first element takes before and after the S-box, and S.
struct Round {
    before: Fr,
    after: Fr,
    corner: Fr,
    row: Vec<Fr>,
    column: Vec<Fr>,
}

/// All partial rounds of one width.
pub struct Partial {
    rounds: Vec<Round>,
    last: Matrix,
    offset: Vec<Fr>,
}

impl Partial {
    /// From the matrix, row by row, and the round constants; None when a block is singular.
    pub fn derive(mds: &[Fr], t: usize, constants: &[Fr]) -> Option<Self> {
        let mut rows = mds.chunks_exact(t);
        let (corner, across) = rows.next()?.split_first()?;
        let (mut column, mut block) = (Vec::new(), Matrix::new());
        for row in rows {
            let (first, others) = row.split_first()?;
            column.push(*first);
            block.push(others.to_vec());
        }
        let mut row = across.to_vec();
        let mut offset = vec![Fr::ZERO; column.len()];
        let mut last = identity(column.len());
        let mut rounds = Vec::new();
        for added in constants.chunks_exact(t) {
            let (own, others) = added.split_first()?;
            for (sum, constant) in offset.iter_mut().zip(others) {
                *sum += constant;
            }
            column = solve(&block, &column)?;
            rounds.push(Round {
                before: *own,
                after: dot(across, &offset),
                corner: *corner,
                row: row.clone(),
                column: column.clone(),
            });
            row = transposed(&block).iter().map(|c| dot(&row, c)).collect();
            offset = block.iter().map(|r| dot(r, &offset)).collect();
            last = product(&block, &last);
        }
        Some(Self {
            rounds,
            last,
            offset,
        })
    }

    /// Takes a state through all of them.
    pub fn apply(&self, state: &mut [Fr]) {
        let Some((first, others)) = state.split_first_mut() else {
            return;
        };
        for round in &self.rounds {
            *first += round.before;
            let x = first.square().square() * *first;
            *first = x * round.corner + dot(&round.row, others) + round.after;
            for (other, entry) in others.iter_mut().zip(&round.column) {
                *other += x * entry;
            }
        }
        let moved: Vec<Fr> = self.last.iter().map(|row| dot(row, others)).collect();
        for ((other, sum), constant) in others.iter_mut().zip(moved).zip(&self.offset) {
            *other = sum + constant;
        }
    }
}

fn dot(left: &[Fr], right: &[Fr]) -> Fr {
    left.iter().zip(right).map(|(x, y)| *x * y).sum()
}

fn identity(size: usize) -> Matrix {
    let unit = |row| (0..size).map(|column| Fr::from(row == column)).collect();
    (0..size).map(unit).collect()
}

fn transposed(matrix: &Matrix) -> Matrix {
    let mut columns = vec![Vec::new(); matrix.first().map_or(0, Vec::len)];
    for row in matrix {
        for (column, entry) in columns.iter_mut().zip(row) {
            column.push(*entry);
        }
    }
    columns
}

fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let columns = transposed(right);
    let row = |row: &Vec<Fr>| columns.iter().map(|column| dot(row, column)).collect();
    left.iter().map(row).collect()
}

/// x with matrix * x = vector, by elimination; each step drops the column that it has settled.
fn solve(matrix: &Matrix, vector: &[Fr]) -> Option<Vec<Fr>> {
    let joined = |(row, value): (&Vec<Fr>, &Fr)| [row.as_slice(), &[*value]].concat();
    let mut rows: Matrix = matrix.iter().zip(vector).map(joined).collect();
    let mut done = Matrix::new();
    while !rows.is_empty() {
        let leads = |row: &Vec<Fr>| row.first().is_some_and(|lead| *lead != Fr::ZERO);
        let pivot = rows.remove(rows.iter().position(leads)?);
        let (lead, others) = pivot.split_first()?;
        let inverse = lead.inverse()?;
        let pivot: Vec<Fr> = others.iter().map(|entry| *entry * inverse).collect();
        for row in rows.iter_mut().chain(&mut done) {
            let lead = *row.first()?;
            let reduced = |(entry, other): (&Fr, &Fr)| *entry - lead * other;
            *row = row.iter().skip(1).zip(&pivot).map(reduced).collect();
        }
        done.push(pivot);
    }
    done.iter().map(|row| row.first().copied()).collect()
}
