//! The device grant as a state machine, against a model small enough to be obviously right.

use actix::System;
use gatehouse_actors::data::device_codes::{DEVICE_CODE_LIFETIME, DecideDeviceCode, DeviceCodeRefusal};
use gatehouse_actors::data::device_redemption::{DeviceRedemption, RedeemDeviceCode, RedeemRefusal};
use gatehouse_actors::data::sign_in::SignInRefusal;
use gatehouse_actors::device_code_batcher::IssuedDeviceCode;
use gatehouse_actors::error::OpError;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::{
    Tenant, World, device_sign_in, fresh, hash_of_secret, issue_device_code, new_session, person, public_id,
    tenant,
};

/// Which of the two people acts.
type Person = usize;
const PEOPLE: [&str; 2] = ["ann", "bob"];

#[derive(Debug, Clone, Copy)]
enum Step {
    SignIn(Person),
    Decide(Person, bool),
    Poll,
    PollAsOtherClient,
    Suspend,
    Activate,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize).prop_map(Step::SignIn),
        4 => (0..2_usize, prop::bool::weighted(0.7)).prop_map(|(who, approve)| Step::Decide(who, approve)),
        4 => Just(Step::Poll),
        1 => Just(Step::PollAsOtherClient),
        1 => Just(Step::Suspend),
        2 => Just(Step::Activate),
        1 => prop_oneof![Just(1_i64), Just(60_000), Just(DEVICE_CODE_LIFETIME / 2), Just(DEVICE_CODE_LIFETIME - 1)]
            .prop_map(Step::Wait),
    ]
}

/// What a step is expected to lead to, in one language for all kinds of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Tokens,
    Replay,
    Pending,
    Denied,
    Expired,
    Decided,
    ClaimedByOther,
    NotActive,
    Unknown,
}

/// RFC 8628 as a client sees it. It knows no rows, no ids and no SQL.
#[derive(Debug, Default)]
struct Model {
    age: i64,
    suspended: bool,
    claimed_by: Option<Person>,
    approved: Option<bool>,
    /// Whether the session that the code produced lives; `None` before there is one.
    session: Option<bool>,
}

impl Model {
    fn expect(&mut self, step: Step) -> Outcome {
        match step {
            Step::Wait(millis) => {
                self.age += millis;
                Outcome::Done
            }
            Step::Suspend | Step::Activate => {
                self.suspended = matches!(step, Step::Suspend);
                Outcome::Done
            }
            Step::SignIn(_) if self.suspended => Outcome::NotActive,
            Step::SignIn(who) => self.open_to(who).unwrap_or_else(|| {
                self.claimed_by = Some(who);
                Outcome::Done
            }),
            Step::Decide(..) if self.claimed_by.is_none() => Outcome::Expired,
            Step::Decide(who, approve) => self.open_to(who).unwrap_or_else(|| {
                if self.suspended {
                    return Outcome::NotActive;
                }
                self.approved = Some(approve);
                Outcome::Done
            }),
            Step::PollAsOtherClient => Outcome::Unknown,
            Step::Poll => self.poll(),
        }
    }

    /// Why this person can no longer sign in for the code or decide it.
    fn open_to(&self, who: Person) -> Option<Outcome> {
        if self.age >= DEVICE_CODE_LIFETIME {
            return Some(Outcome::Expired);
        }
        if self.approved.is_some() {
            return Some(Outcome::Decided);
        }
        (self.claimed_by.unwrap_or(who) != who).then_some(Outcome::ClaimedByOther)
    }

    fn poll(&mut self) -> Outcome {
        if self.session.is_some() {
            self.session = Some(false);
            return Outcome::Replay;
        }
        match self.approved {
            Some(false) => Outcome::Denied,
            _ if self.age >= DEVICE_CODE_LIFETIME => Outcome::Expired,
            None => Outcome::Pending,
            Some(true) if self.suspended => Outcome::Denied,
            Some(true) => {
                self.session = Some(true);
                Outcome::Tokens
            }
        }
    }
}

#[test]
fn the_store_and_the_model_agree_after_every_step() {
    let system = System::new();
    let (world, acme) = system.block_on(async {
        let world = World::new();
        let acme = tenant(&world, "acme").await;
        (world, acme)
    });
    let mut runner = TestRunner::new(Config { cases: 192, failure_persistence: None, ..Config::default() });
    let walks = prop::collection::vec(step(), 1..24);
    let outcome = runner.run(&walks, |walk| system.block_on(compare(&world, &acme, walk)));
    outcome.unwrap();
    system.block_on(world.stop());
}

async fn compare(world: &World, acme: &Tenant, walk: Vec<Step>) -> Result<(), TestCaseError> {
    set_status(world, "active");
    let issued = issue_device_code(world, &acme.terminal).await.unwrap();
    let mut real = Real { world, acme, issued, session: format!("session {}", fresh()), users: [0; 2] };
    let mut model = Model::default();
    for (number, step) in walk.iter().enumerate() {
        let expected = model.expect(*step);
        let found = real.take(*step).await;
        prop_assert_eq!(found, expected, "step {} of {:?}, model {:?}", number, walk, model);
        let sessions = real.sessions();
        let expected = model.session.map_or((0, 0), |lives| (1, i64::from(lives)));
        prop_assert_eq!(sessions, expected, "sessions and live ones after step {} of {:?}", number, walk);
    }
    Ok(())
}

fn set_status(world: &World, status: &str) {
    world.execute(&format!("UPDATE organizations SET status = '{status}' WHERE slug = 'acme'"));
}

/// The store, driven by the same steps.
struct Real<'w> {
    world: &'w World,
    acme: &'w Tenant,
    issued: IssuedDeviceCode,
    /// What every session of this walk is named after.
    session: String,
    /// Row ids, as far as they are known.
    users: [i64; 2],
}

impl Real<'_> {
    async fn take(&mut self, step: Step) -> Outcome {
        match step {
            Step::Wait(millis) => {
                self.world.clock.advance(millis);
                Outcome::Done
            }
            Step::Suspend => {
                set_status(self.world, "suspended");
                Outcome::Done
            }
            Step::Activate => {
                set_status(self.world, "active");
                Outcome::Done
            }
            Step::SignIn(who) => self.sign_in(who).await,
            Step::Decide(who, approve) => self.decide(who, approve).await,
            Step::Poll => self.poll(&self.acme.terminal.client_id).await,
            Step::PollAsOtherClient => self.poll(&self.acme.web.client_id).await,
        }
    }

    async fn sign_in(&mut self, who: Person) -> Outcome {
        let arrival = person(self.world, self.acme.org_id, PEOPLE[who]);
        let sign_in = device_sign_in(&self.acme.terminal, arrival, self.issued.id);
        match self.world.store.write(sign_in).await {
            Ok(user_id) => {
                self.users[who] = user_id;
                Outcome::Done
            }
            Err(OpError::Refused(SignInRefusal::OrganizationNotActive(_))) => Outcome::NotActive,
            Err(OpError::Refused(SignInRefusal::DeviceCode(refusal))) => outcome_of(refusal),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn decide(&self, who: Person, approve: bool) -> Outcome {
        let decision = DecideDeviceCode {
            id: self.issued.id,
            // Somebody who never got in for this code decides under an id of nobody.
            user_id: self.users[who],
            approve,
            event_public_id: public_id(),
            now: self.world.now(),
        };
        match self.world.store.write(decision).await {
            Ok(_) => Outcome::Done,
            Err(OpError::Refused(refusal)) => outcome_of(refusal),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn poll(&self, client_id: &str) -> Outcome {
        let mut session = new_session();
        session.public_id = format!("{} {}", self.session, fresh());
        let poll = RedeemDeviceCode {
            id: self.issued.id,
            secret_hash: hash_of_secret(&self.issued.secret),
            client_id: client_id.to_owned(),
            session,
            now: self.world.now(),
        };
        match self.world.store.write(poll).await {
            Ok(DeviceRedemption::Granted(_)) => Outcome::Tokens,
            Ok(DeviceRedemption::Replayed) => Outcome::Replay,
            Err(OpError::Refused(RedeemRefusal::Pending)) => Outcome::Pending,
            Err(OpError::Refused(RedeemRefusal::Denied)) => Outcome::Denied,
            Err(OpError::Refused(RedeemRefusal::Expired)) => Outcome::Expired,
            Err(OpError::Refused(RedeemRefusal::Unknown)) => Outcome::Unknown,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// How many sessions this walk opened, and how many of them live.
    fn sessions(&self) -> (i64, i64) {
        let of_this_walk = format!("FROM sessions WHERE public_id LIKE '{} %'", self.session);
        let count = self.world.number(&format!("SELECT COUNT(*) {of_this_walk}"));
        (count, self.world.number(&format!("SELECT COUNT(*) {of_this_walk} AND ended_at IS NULL")))
    }
}

fn outcome_of(refusal: DeviceCodeRefusal) -> Outcome {
    match refusal {
        DeviceCodeRefusal::Expired => Outcome::Expired,
        DeviceCodeRefusal::Decided => Outcome::Decided,
        DeviceCodeRefusal::ClaimedByOther => Outcome::ClaimedByOther,
        DeviceCodeRefusal::OrganizationNotActive => Outcome::NotActive,
    }
}
