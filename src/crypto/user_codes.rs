//! The user code of a device code: a permutation of the ids of rows, for who holds the key.
//!
//! A code must be as good as random to whoever holds others, lead to its row, and be given to nobody else meanwhile. A
//! keyed permutation of all codes does that without an index of random values, which costs a database more than anything
//! else about a row. It is a Feistel network over two halves of four letters, as in FF1 (NIST SP 800-38G), with
//! HMAC-SHA256 for its round function. The tweak is the stretch of time in which the row was made, so that not even an id
//! that came a second time, from a backup, would bring back a code that somebody knows. See docs/adr/0032.

use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::{
    DEVICE_CODE_LIFETIME, DeviceCodeByUserCode, KEPT_AFTER_EXPIRY, PossibleDeviceCode, USER_CODES,
};
use ring::hmac;

use super::token::{USER_CODE_ALPHABET, USER_CODE_LENGTH};

/// As many rounds as FF1 has.
const ROUNDS: u8 = 10;
/// How many halves there are.
const HALVES: u64 = 160_000;
/// Rows that are made within such a stretch of time share a permutation.
const STRETCH: Millis = 5 * 60 * 1000;

/// The clock may have been set back by so much since a row was made: a summer's hour by mistake, and no device that waits
/// begins anew.
const SET_BACK: Millis = 60 * 60 * 1000;

/// The permutations, all of one key.
#[derive(Debug, Clone)]
pub struct UserCodes {
    key: hmac::Key,
    /// Hashes codes as they were kept before.
    hashes: hmac::Key,
}

impl UserCodes {
    /// Of two derived keys: for the permutations, and for the hashes under which codes were kept before.
    #[must_use]
    pub fn new(key: &[u8; 32], hashes: &[u8; 32]) -> Self {
        let [key, hashes] = [key, hashes].map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
        Self { key, hashes }
    }

    /// The code of the row `id` that was made at `created_at`, without the dash.
    #[must_use]
    pub fn of_row(&self, id: i64, created_at: Millis) -> String {
        let stretch = created_at.div_euclid(STRETCH);
        let place = u64::try_from(id.rem_euclid(USER_CODES)).unwrap_or_default();
        let (mut left, mut right) = (place / HALVES, place % HALVES);
        for round in 0..ROUNDS {
            (left, right) = (right, (left + self.function(stretch, round, right)) % HALVES);
        }
        spell(left * HALVES + right)
    }

    /// Asks for the row that a code stands for.
    #[must_use]
    pub fn question(&self, code: &str, now: Millis) -> DeviceCodeByUserCode {
        let tag = hmac::sign(&self.hashes, code.as_bytes());
        let hash = tag.as_ref().first_chunk().copied().unwrap_or_default();
        DeviceCodeByUserCode { possible: self.rows(code, now), hash, now }
    }

    /// The rows that a code may stand for at the moment `now`; none for what is no code.
    fn rows(&self, code: &str, now: Millis) -> Vec<PossibleDeviceCode> {
        let Some(number) = read(code) else { return Vec::new() };
        let oldest = (now - DEVICE_CODE_LIFETIME - KEPT_AFTER_EXPIRY).div_euclid(STRETCH);
        let newest = (now + SET_BACK).div_euclid(STRETCH);
        (oldest..=newest).map(|stretch| self.row_in(stretch, number)).collect()
    }

    fn row_in(&self, stretch: i64, number: u64) -> PossibleDeviceCode {
        let (mut left, mut right) = (number / HALVES, number % HALVES);
        for round in (0..ROUNDS).rev() {
            (left, right) = ((right + HALVES - self.function(stretch, round, left)) % HALVES, left);
        }
        PossibleDeviceCode {
            place: i64::try_from(left * HALVES + right).unwrap_or_default(),
            created_from: stretch * STRETCH,
            created_before: (stretch + 1) * STRETCH,
        }
    }

    /// Below [`HALVES`], evenly but for one part in 2^46.
    fn function(&self, stretch: i64, round: u8, half: u64) -> u64 {
        let mut input = [0; 17];
        let (head, tail) = input.split_at_mut(8);
        head.copy_from_slice(&stretch.to_be_bytes());
        if let Some((first, rest)) = tail.split_first_mut() {
            *first = round;
            rest.copy_from_slice(&half.to_be_bytes());
        }
        let tag = hmac::sign(&self.key, &input);
        tag.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head)) % HALVES
    }
}

/// A number in letters, the highest place first.
fn spell(number: u64) -> String {
    let mut letters = [b'B'; USER_CODE_LENGTH];
    let mut rest = number;
    for letter in letters.iter_mut().rev() {
        let index = usize::try_from(rest % 20).unwrap_or_default();
        *letter = USER_CODE_ALPHABET.get(index).copied().unwrap_or(b'B');
        rest /= 20;
    }
    letters.iter().map(|letter| char::from(*letter)).collect()
}

fn read(code: &str) -> Option<u64> {
    if code.len() != USER_CODE_LENGTH {
        return None;
    }
    code.bytes().try_fold(0_u64, |number, letter| {
        let value = USER_CODE_ALPHABET.iter().position(|known| *known == letter)?;
        Some(number * 20 + u64::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = 1_795_492_044_600;

    fn codes() -> UserCodes {
        UserCodes::new(&[7; 32], &[9; 32])
    }

    fn stands_for(codes: &UserCodes, code: &str, id: i64, created_at: Millis, now: Millis) -> bool {
        codes.rows(code, now).iter().any(|row| {
            row.place == id % USER_CODES && (row.created_from..row.created_before).contains(&created_at)
        })
    }

    proptest! {
        #[test]
        fn a_code_stands_for_its_row_for_as_long_as_it_is_kept(
            id in 1..i64::MAX,
            age in 0..=DEVICE_CODE_LIFETIME + KEPT_AFTER_EXPIRY,
            set_back in 0..=SET_BACK,
        ) {
            let code = codes().of_row(id, NOW);
            prop_assert_eq!(super::super::token::normalize_user_code(&code), Some(code.clone()));
            prop_assert!(stands_for(&codes(), &code, id, NOW, NOW + age));
            prop_assert!(stands_for(&codes(), &code, id, NOW, NOW - set_back));
            let other_key = UserCodes::new(&[8; 32], &[9; 32]);
            prop_assert!(!stands_for(&other_key, &code, id, NOW, NOW));
        }

        #[test]
        fn arbitrary_text_stands_for_nothing(text in ".{0,12}") {
            let is_code = text.len() == 8 && text.bytes().all(|letter| USER_CODE_ALPHABET.contains(&letter));
            prop_assert_eq!(codes().rows(&text, NOW).is_empty(), !is_code);
        }

        #[test]
        fn every_number_has_its_own_spelling(number in 0..20_u64.pow(8)) {
            prop_assert_eq!(read(&spell(number)), Some(number));
        }
    }

    #[test]
    fn rows_of_one_stretch_never_share_a_code_and_neighbours_look_nothing_alike() {
        let made: Vec<String> = (1..=5_000).map(|id| codes().of_row(id, NOW)).collect();
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
        for place in 0..USER_CODE_LENGTH {
            for letter in USER_CODE_ALPHABET {
                let count = made.iter().filter(|code| code.as_bytes()[place] == *letter).count();
                assert!((150..350).contains(&count), "{letter} stands {count} times at {place}, not 250");
            }
            let same = made.windows(2).filter(|two| two[0].as_bytes()[place] == two[1].as_bytes()[place]);
            assert!((150..350).contains(&same.count()));
        }
    }

    #[test]
    fn an_id_that_comes_again_later_has_another_code() {
        let codes = codes();
        assert_eq!(codes.of_row(1, 0), codes.of_row(1, STRETCH - 1));
        let made: BTreeSet<String> = (0..1_000).map(|stretch| codes.of_row(1, stretch * STRETCH)).collect();
        assert_eq!(made.len(), 1_000);
    }
}
