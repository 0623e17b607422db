//! Reads transactions in hex, one a line; says of each what Charms' own reader says.
//!
//! `ok` with the public values, `refused` with its words, or `panicked`.

use std::io::{BufRead, Write};
use std::panic;

use charms_client::bitcoin_tx::BitcoinTx;
use charms_client::tx::{committed_normalized_spell, spell_vk, to_serialized_pv, Tx};
use charms_lib::SPELL_VK;

fn judged(line: &str) -> Result<String, String> {
    let read = || {
        let tx = Tx::Bitcoin(BitcoinTx::from_hex(line)?);
        let spell = committed_normalized_spell(&SPELL_VK, &tx, false)?;
        let program = spell_vk(spell.version, &SPELL_VK, spell.mock)?;
        Ok(to_serialized_pv(spell.version, program, &spell))
    };
    let found: Result<_, Box<dyn std::error::Error>> = read();
    found.map(hex::encode).map_err(|e| e.to_string())
}

fn main() -> std::io::Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match panic::catch_unwind(|| judged(line.trim())) {
            Ok(Ok(values)) => writeln!(out, "ok {values}")?,
            Ok(Err(why)) => writeln!(out, "refused {}", why.replace('\n', " "))?,
            Err(_) => writeln!(out, "panicked")?,
        }
    }
    Ok(())
}
