//! What the outbox needs from outside: somebody who speaks to receivers, and dice.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::clock::Millis;
use crate::data::outbox::Delivery;

/// What a receiver made of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has it.
    Delivered {
        /// Its answer.
        status: u16,
    },
    /// It does not want it, and will not want it later.
    Refused {
        /// Its answer, if there was one.
        status: Option<u16>,
        /// What is wrong, in our words.
        reason: String,
    },
    /// It did not take it this time.
    Failed {
        /// Its answer, if there was one.
        status: Option<u16>,
        /// What went wrong, in our words.
        reason: String,
        /// How long it asks to be left alone (RFC 9110, section 10.2.3), if it does.
        wait: Option<Millis>,
    },
    /// There is no such receiver any more: nothing that waits for it will ever be delivered.
    Gone {
        /// Why, in our words.
        reason: String,
    },
}

/// Speaks to receivers. It lives on the outbox's own thread. Every delivery must end within ten seconds or so: eight
/// of them, one after the other, have to fit into a lease.
pub trait DeliveryPort: 'static {
    /// Tries once. The same delivery may come again, also after it was delivered: a crash can come between.
    fn deliver(&self, delivery: Delivery) -> LocalBoxFuture<'static, Outcome>;

    /// Any number, each as likely: what spreads retries out.
    fn draw(&self) -> u32;

    /// A fresh UUID of version 7 for the moment `now`.
    fn uuid(&self, now: Millis) -> String;
}

/// Makes the port on the thread where it will live.
pub type PortFactory = Box<dyn FnOnce() -> Rc<dyn DeliveryPort> + Send>;
