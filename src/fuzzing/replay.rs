//! The corpus of `make fuzz`, once through, in every `cargo test`.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::TARGETS;

/// More would make the repository large for little.
const MOST_FILES: usize = 60;
const MOST_BYTES: u64 = 1024 * 1024;

#[test]
fn every_target_holds_for_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let (mut bytes, mut failed) = (0, Vec::new());
    for target in TARGETS {
        let folder = corpus.join(target.name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!((1..=MOST_FILES).contains(&files.len()), "{} has {} files", target.name, files.len());
        for file in files {
            let data = fs::read(&file).unwrap();
            bytes += data.len() as u64;
            if catch_unwind(|| (target.run)(&data)).is_err() {
                failed.push(file);
            }
        }
        (target.run)(b"");
    }
    assert_eq!(failed, Vec::<PathBuf>::new());
    assert!(bytes < MOST_BYTES, "the corpus has {bytes} bytes");
    let folders: BTreeSet<_> =
        fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.into()).collect();
    assert_eq!(folders, names, "a corpus without a target");
}
