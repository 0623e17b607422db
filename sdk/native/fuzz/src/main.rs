//! libFuzzer over one decoder of the crate, named by GRAIL_FUZZ; `tests/fuzz` starts it.
//!
//! The flags that make coverage visible are all stable ones of rustc: docs/decisions/0070.

#![no_main]

use std::sync::OnceLock;

use _native::fuzz::{Decoder, DECODERS};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<Decoder> = OnceLock::new();

fn chosen() -> Decoder {
    let name = std::env::var("GRAIL_FUZZ").unwrap_or_default();
    let found = DECODERS.iter().find(|(known, _)| *known == name);
    let Some((_, decoder)) = found else {
        let known: Vec<_> = DECODERS.iter().map(|(known, _)| *known).collect();
        eprintln!(
            "GRAIL_FUZZ: got {name:?}, expected one of {}",
            known.join(", ")
        );
        std::process::exit(2);
    };
    *decoder
}

fuzz_target!(|raw: &[u8]| {
    let _ = CHOSEN.get_or_init(chosen)(raw);
});
