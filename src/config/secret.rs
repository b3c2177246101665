//! A value that never shows itself: not in logs, not in debug output, not in memory after use.

use std::fmt;

use zeroize::Zeroize;

/// Wraps a secret. `Debug` prints a placeholder, there is no `Display`, and the memory is wiped on drop.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. The name is meant to stand out in review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Notes that it was wiped.
    struct Watched(Rc<Cell<bool>>);

    impl Zeroize for Watched {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn a_secret_is_wiped_when_it_goes() {
        let wiped = Rc::new(Cell::new(false));
        let secret = Secret::new(Watched(Rc::clone(&wiped)));
        assert!(!wiped.get());
        drop(secret);
        assert!(wiped.get());
    }

    #[test]
    fn a_secret_does_not_show_itself_inside_something_else() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "it is only shown")]
        struct Holder {
            password: Option<Secret<String>>,
        }
        let holder = Holder { password: Some(Secret::new("hunter2".to_owned())) };
        assert_eq!(format!("{holder:?}"), "Holder { password: Some([secret]) }");
    }
}
