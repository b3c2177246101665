//! A backup that only the holder of a key can read: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár,
//! "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015) over AES-256-GCM.
//!
//! ```text
//! file    = magic (16) salt (32) piece*
//! key     = HKDF-SHA256(BACKUP_KEY, salt, magic), of this file alone
//! piece   = ciphertext of up to 64 KiB, tag (16); associated data: none, the salt is in the key
//! nonce   = zeros (3) number of the piece, big endian (8) 1 for the last piece, else 0 (1)
//! ```
//! Pieces cannot be changed, swapped, left out or added, and a file that was cut off has no last piece.

use std::array::TryFromSliceError;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"gatehouse-bkp-1\n";
const SALT: usize = 32;
const PIECE: usize = 64 * 1024;

/// What the key of a sealed backup is derived from. Never shows itself, and is wiped after use.
#[derive(Clone)]
pub struct BackupKey(Zeroizing<[u8; 32]>);

impl TryFrom<&[u8]> for BackupKey {
    type Error = TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Zeroizing::new).map(Self)
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Whether a file with this beginning is a sealed backup.
#[must_use]
pub fn is_sealed(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// Seals everything that `plain` yields into `sealed`.
pub fn seal(key: &BackupKey, plain: &mut dyn Read, sealed: &mut dyn Write) -> io::Result<()> {
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).map_err(|_| io::Error::other("no randomness"))?;
    sealed.write_all(MAGIC)?;
    sealed.write_all(&salt)?;
    let key = key_of_file(key, &salt)?;
    let mut piece = read_piece(plain, PIECE)?;
    for number in 0.. {
        let following = read_piece(plain, PIECE)?;
        let last = following.is_empty();
        key.seal_in_place_append_tag(nonce(number, last), Aad::empty(), &mut piece)
            .map_err(|_| io::Error::other("cannot seal"))?;
        sealed.write_all(&piece)?;
        if last {
            break;
        }
        piece = following;
    }
    Ok(())
}

/// Opens what [`seal`] wrote. On an error `plain` may hold the beginning, which must not be used.
pub fn open(key: &BackupKey, sealed: &mut dyn Read, plain: &mut dyn Write) -> io::Result<()> {
    let mut head = [0; MAGIC.len() + SALT];
    sealed.read_exact(&mut head)?;
    let (magic, salt) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a sealed backup"));
    }
    let key = key_of_file(key, salt)?;
    let mut piece = read_piece(sealed, PIECE + AES_256_GCM.tag_len())?;
    for number in 0.. {
        let following = read_piece(sealed, PIECE + AES_256_GCM.tag_len())?;
        let last = following.is_empty();
        let opened = key.open_in_place(nonce(number, last), Aad::empty(), &mut piece).map_err(|_| {
            let what = "it was sealed with another key, or it was changed or cut off";
            io::Error::new(ErrorKind::InvalidData, what)
        })?;
        plain.write_all(opened)?;
        if last {
            break;
        }
        piece = following;
    }
    Ok(())
}

struct Length32;

impl KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

fn key_of_file(key: &BackupKey, salt: &[u8]) -> io::Result<LessSafeKey> {
    let failed = |_| io::Error::other("cannot derive the key");
    let mut derived = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, salt)
        .extract(key.0.as_slice())
        .expand(&[MAGIC], Length32)
        .and_then(|output| output.fill(derived.as_mut_slice()))
        .map_err(failed)?;
    UnboundKey::new(&AES_256_GCM, derived.as_slice()).map(LessSafeKey::new).map_err(failed)
}

/// Never twice under one key: each file has its own, and each piece its number.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    for (place, byte) in bytes.iter_mut().skip(3).zip(number.to_be_bytes()) {
        *place = byte;
    }
    if let Some(end) = bytes.last_mut() {
        *end = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

/// Up to `length` bytes; fewer only at the end.
fn read_piece(from: &mut dyn Read, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(length + AES_256_GCM.tag_len());
    from.take(length as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> BackupKey {
        [byte; 32].as_slice().try_into().unwrap()
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", key(7)), "[secret]");
        assert!(BackupKey::try_from([7; 31].as_slice()).is_err());
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        seal(&key(7), &mut &*plain, &mut sealed).unwrap();
        sealed
    }

    fn opened(key: &BackupKey, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        open(key, &mut &*sealed, &mut plain).map(|()| plain)
    }

    #[test]
    fn every_length_around_a_piece_comes_back() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 17] {
            let plain: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            assert_eq!(opened(&key(7), &sealed(&plain)).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn pieces_cannot_be_swapped_left_out_or_repeated() {
        let whole = sealed(&vec![1; 3 * PIECE]);
        let (head, body) = whole.split_at(MAGIC.len() + SALT);
        let pieces: Vec<&[u8]> = body.chunks(PIECE + AES_256_GCM.tag_len()).collect();
        for order in
            [vec![1, 0, 2], vec![0, 2], vec![0, 1], vec![0], vec![], vec![0, 1, 2, 2], vec![0, 0, 1, 2]]
        {
            let body: Vec<u8> = order.iter().flat_map(|at| pieces[*at].to_vec()).collect();
            assert!(opened(&key(7), &[head, &body].concat()).is_err(), "{order:?}");
        }
        assert!(opened(&key(8), &whole).is_err(), "another key");
        assert_ne!(sealed(b"same"), sealed(b"same"), "each file has a key of its own");
    }

    proptest! {
        #[test]
        fn no_byte_can_be_changed_or_cut(plain in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let whole = sealed(&plain);
            let place = place.index(whole.len());
            let mut changed = whole.clone();
            changed[place] ^= flip;
            prop_assert!(opened(&key(7), &changed).is_err());
            prop_assert!(opened(&key(7), &whole[..place]).is_err());
            prop_assert!(opened(&key(7), &[&*whole, &[flip]].concat()).is_err());
        }

        #[test]
        fn bytes_of_anybody_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(opened(&key(7), &bytes).is_err());
            prop_assert!(opened(&key(7), &[MAGIC.as_slice(), &bytes].concat()).is_err());
        }
    }
}
