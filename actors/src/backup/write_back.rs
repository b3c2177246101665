//! A file that goes to the disk while it grows, and leaves it by pieces as well.
//!
//! A copy is written faster than the disk takes it. What is kept back for one `fsync` at the end is hundreds of megabytes
//! behind which the commits of those who write meanwhile wait. In pieces, whoever comes waits for one piece at most. A
//! file system that tells the disk of what it has no use for (`discard`) makes them wait in the same way for a removal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// How much is written before it has to be on the disk: little enough that nobody notices, much enough that the disk
/// writes it in one go.
const PIECE: u64 = 2 * 1024 * 1024;

/// How much is given back at once.
const PIECE_BACK: u64 = 16 * 1024 * 1024;

/// The file, and how much of it is on the disk.
#[derive(Debug)]
pub(crate) struct WriteBack {
    file: File,
    piece: u64,
    settled: u64,
}

impl WriteBack {
    /// Of an empty file, which others may write to.
    pub(crate) fn new(file: File) -> Self {
        Self { file, piece: PIECE, settled: 0 }
    }

    /// Waits until the disk has taken what was written, if that is a piece or more.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length.saturating_sub(self.settled) >= self.piece {
            self.file.sync_data()?;
            self.settled = length;
        }
        Ok(())
    }
}

impl Write for WriteBack {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.settle()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes a file of ours that nobody else reads: a reader would see it shrink.
pub(super) fn remove_by_pieces(path: &Path) -> io::Result<()> {
    let shrink = || {
        let file = OpenOptions::new().write(true).open(path)?;
        let mut length = file.metadata()?.len();
        while length > PIECE_BACK {
            length -= PIECE_BACK;
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok::<(), io::Error>(())
    };
    let _ = shrink(); // a kindness to others; what counts is that it goes
    fs::remove_file(path)
}

#[cfg(test)]
impl WriteBack {
    /// One that the disk refuses: the kernel syncs nothing of a file that is none.
    pub(crate) fn refused() -> Self {
        Self { piece: 0, ..Self::new(File::open("/proc/self/stat").unwrap()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_full_piece_is_on_the_disk_and_the_rest_is_not_waited_for() {
        let mut file = WriteBack { piece: 10, ..WriteBack::new(tempfile::tempfile().unwrap()) };
        let mut settled = Vec::new();
        for _ in 0..6 {
            file.write_all(b"1234").unwrap();
            settled.push(file.settled);
        }
        assert_eq!(settled, [0, 0, 12, 12, 12, 24]);
    }

    #[test]
    fn a_large_file_is_gone_and_one_that_is_not_there_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        File::create(&path).unwrap().set_len(3 * PIECE_BACK + 1).unwrap();
        remove_by_pieces(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(remove_by_pieces(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told_of() {
        assert!(WriteBack::refused().settle().is_err());
    }
}
