//! How many connections are open, in all and per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections that are open. Clones count together.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    most: usize,
    most_of_address: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection; it ends when this is dropped.
pub struct Place {
    connections: Connections,
    address: Option<IpAddr>,
}

impl Connections {
    /// With none open.
    #[must_use]
    pub fn new(most: usize, most_of_address: Option<usize>) -> Self {
        let most_of_address = most_of_address.unwrap_or(usize::MAX);
        Self(Arc::new(Inner { most, most_of_address, open: Mutex::default() }))
    }

    /// A place for a connection, or the name of the limit that refuses it. Without an address only the total counts.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<Place, &'static str> {
        let mut open = self.open();
        if open.all >= self.0.most {
            return Err("connections");
        }
        if let Some(address) = address {
            // Looked at before it is entered, so that a refusal leaves nothing behind.
            if open.by_address.get(&address).is_some_and(|count| *count >= self.0.most_of_address) {
                return Err("connections_of_address");
            }
            *open.by_address.entry(address).or_default() += 1;
        }
        open.all += 1;
        Ok(Place { connections: self.clone(), address })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().all
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all = open.all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(count) = open.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_in_all_and_per_address_and_come_back() {
        let connections = Connections::new(5, Some(2));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let enter = |address| connections.enter(address).map_err(|limit| assert_eq!(limit, "connections"));
        let first = enter(Some(one)).unwrap();
        let mut places = vec![enter(Some(one)).unwrap()];
        assert_eq!(connections.enter(Some(one)).err(), Some("connections_of_address"));
        drop(first);
        places.push(enter(Some(one)).unwrap());
        places.push(enter(Some(other)).unwrap());
        places.push(enter(None).unwrap());
        places.push(enter(None).unwrap());
        assert!(enter(Some(other)).is_err());
        assert_eq!(connections.count(), 5);
        drop(places);
        assert_eq!(connections.count(), 0);
        assert!(connections.open().by_address.is_empty());
    }
}
