//! Receivers of deliveries, under the test's control.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use futures_util::future::{LocalBoxFuture, pending, ready};
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::outbox::Delivery;
use gatehouse_actors::outbox::{DeliveryPort, Outcome, PortFactory};

use super::public_id;

/// Everybody that something is delivered to. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receivers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    seen: Vec<Delivery>,
    answers: HashMap<i64, VecDeque<Outcome>>,
    always: HashMap<i64, Outcome>,
    hanging: HashSet<i64>,
}

impl Receivers {
    /// Plans the next answers of a target; after them it takes everything.
    pub(crate) fn plan(&self, target_id: i64, answers: &[Outcome]) {
        self.0.lock().unwrap().answers.entry(target_id).or_default().extend(answers.iter().cloned());
    }

    /// Has a target give the same answer again and again.
    pub(crate) fn always(&self, target_id: i64, answer: Outcome) {
        self.0.lock().unwrap().always.insert(target_id, answer);
    }

    /// Has a target never answer.
    pub(crate) fn hang(&self, target_id: i64) {
        self.0.lock().unwrap().hanging.insert(target_id);
    }

    /// Has every target answer again.
    pub(crate) fn recover(&self) {
        let mut state = self.0.lock().unwrap();
        state.hanging.clear();
        state.always.clear();
    }

    /// What arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Delivery> {
        self.0.lock().unwrap().seen.clone()
    }

    /// The payloads that arrived at a target, in order.
    pub(crate) fn payloads(&self, target_id: i64) -> Vec<String> {
        let seen = self.seen();
        seen.into_iter().filter(|one| one.target_id == target_id).map(|one| one.payload).collect()
    }

    /// The port that leads here.
    pub(crate) fn port(&self) -> PortFactory {
        let receivers = self.clone();
        Box::new(move || Rc::new(receivers))
    }
}

impl DeliveryPort for Receivers {
    fn deliver(&self, delivery: Delivery) -> LocalBoxFuture<'static, Outcome> {
        let mut state = self.0.lock().unwrap();
        let target_id = delivery.target_id;
        state.seen.push(delivery);
        if state.hanging.contains(&target_id) {
            return Box::pin(pending());
        }
        let planned = state.answers.get_mut(&target_id).and_then(VecDeque::pop_front);
        let answer = planned.or_else(|| state.always.get(&target_id).cloned());
        Box::pin(ready(answer.unwrap_or(Outcome::Delivered { status: 200 })))
    }

    fn draw(&self) -> u32 {
        u32::MAX / 2
    }

    fn uuid(&self, _now: Millis) -> String {
        public_id()
    }
}
