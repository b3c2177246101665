//! One binary for all targets, since nearly all of it is the same: `FUZZ_TARGET` names the one that is tried.
#![no_main]

use std::sync::LazyLock;

use gatehouse::fuzzing::{Target, named};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    named(&name).expect("FUZZ_TARGET names a target of src/fuzzing.rs")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
