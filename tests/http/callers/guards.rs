//! What each guard says to each caller, written down by hand: it is what the product promises, and nothing here is
//! computed from the code that must keep the promise.

/// Somebody who sends a request, in the order of the columns of [`GUARDS`]. A and B are organizations; the object of
/// the request is A, or something in A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    Anonymous,
    Garbage,
    /// The owner of A with a token that expired.
    Expired,
    /// The owner of A with the token of a session that ended.
    Ended,
    /// An end user of A, signed in by the browser.
    WebUserOfA,
    /// An end user of A, signed in at a terminal.
    DeviceUserOfA,
    EndUserOfB,
    MemberOfA,
    AdminOfA,
    OwnerOfA,
    /// Owned A when their token was made, and is an admin now.
    FormerOwnerOfA,
    /// Was an admin of A when their token was made, and is nothing there now.
    FormerAdminOfA,
    MemberOfB,
    AdminOfB,
    OwnerOfB,
    /// Owns the platform and is a member of no organization.
    PlatformOwner,
    /// Owned the platform when their token was made.
    FormerPlatformOwner,
}

pub(crate) const EVERYBODY: [Who; 17] = [
    Who::Anonymous,
    Who::Garbage,
    Who::Expired,
    Who::Ended,
    Who::WebUserOfA,
    Who::DeviceUserOfA,
    Who::EndUserOfB,
    Who::MemberOfA,
    Who::AdminOfA,
    Who::OwnerOfA,
    Who::FormerOwnerOfA,
    Who::FormerAdminOfA,
    Who::MemberOfB,
    Who::AdminOfB,
    Who::OwnerOfB,
    Who::PlatformOwner,
    Who::FormerPlatformOwner,
];

/// What a guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The handler answers.
    LetIn,
    /// Refused with this status and code.
    Refused(u16, &'static str),
    /// Lets in to look, and knows of nothing to change.
    MayLook,
    /// There is nothing to look at now, and never anything to change.
    MayNotLookNow,
}

use Verdict::{LetIn, MayLook, MayNotLookNow, Refused};

const IN: Verdict = LetIn;
/// No token, or one of a session that is over.
const NO: Verdict = Refused(401, "UNAUTHORIZED");
const JWT: Verdict = Refused(401, "JWT_ERROR");
const OLD: Verdict = Refused(401, "TOKEN_EXPIRED");
/// Known, and not allowed.
const NOT: Verdict = Refused(403, "FORBIDDEN");
/// Allowed, and the organization is not active.
const OFF: Verdict = Refused(403, "ORGANIZATION_NOT_ACTIVE");
/// Not to know that there is such an organization.
const HID: Verdict = Refused(404, "NOT_FOUND");
const SEE: Verdict = MayLook;
const LAT: Verdict = MayNotLookNow;

/// What a guard says to everybody.
type Line = &'static [Verdict; EVERYBODY.len()];

/// A guard by the name that stands in a handler's signature: its line while A is active, and its line while A is
/// pending, suspended or rejected.
pub(crate) struct Guard {
    pub(crate) name: &'static str,
    pub(crate) active: Line,
    pub(crate) otherwise: Line,
}

const fn guard(name: &'static str, active: Line, otherwise: Line) -> Guard {
    Guard { name, active, otherwise }
}

#[rustfmt::skip]
pub(crate) const GUARDS: &[Guard] = &[
    guard("Anonymous", &[IN; 17], &[IN; 17]),
    // A credential of its own: no token opens it.
    guard("Operator", &[NO; 17], &[NO; 17]),
    // In dev mode nothing is asked for; tests/http/metrics.rs has the rest.
    guard("Scraper", &[IN; 17], &[IN; 17]),
    //                            nobody   |old |done| end users   | A: mem  adm own exo exa | B: mem adm own |plat exp
    guard("TokenHolder",
        &[NO, JWT, OLD, IN,          IN,  IN,  IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN],
        &[NO, JWT, OLD, IN,          IN,  IN,  IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN]),
    guard("SignedIn",
        &[NO, JWT, OLD, NO,          IN,  IN,  IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN],
        &[NO, JWT, OLD, NO,          OFF, OFF, IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN]),
    guard("Bearer",
        &[NO, JWT, OLD, NO,          IN,  IN,  IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN],
        &[NO, JWT, OLD, NO,          OFF, OFF, IN,     IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN]),
    guard("ServiceUser",
        &[NO, JWT, OLD, NO,          IN,  IN,  IN,     NOT, NOT, NOT, NOT, NOT,    NOT, NOT, NOT,   NOT, NOT],
        &[NO, JWT, OLD, NO,          OFF, OFF, IN,     NOT, NOT, NOT, NOT, NOT,    NOT, NOT, NOT,   NOT, NOT]),
    guard("Administrator",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN]),
    guard("MaybeAdministrator",
        &[IN, JWT, OLD, NO,          NOT, NOT, NOT,    IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN],
        &[IN, JWT, OLD, NO,          OFF, OFF, NOT,    IN,  IN,  IN,  IN,  IN,     IN,  IN,  IN,    IN,  IN]),
    guard("PlatformOwner",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    NOT, NOT, NOT, NOT, NOT,    NOT, NOT, NOT,   IN,  NOT],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    NOT, NOT, NOT, NOT, NOT,    NOT, NOT, NOT,   IN,  NOT]),
    guard("AnyMember",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    IN,  IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    IN,  IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID]),
    guard("AnyMember, Active",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    IN,  IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    OFF, OFF, OFF, OFF, HID,    HID, HID, HID,   LAT, HID]),
    guard("AtLeastAdmin",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    NOT, IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    NOT, IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID]),
    guard("AtLeastAdmin, Active",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    NOT, IN,  IN,  IN,  HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    NOT, OFF, OFF, OFF, HID,    HID, HID, HID,   LAT, HID]),
    guard("OnlyOwner",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    NOT, NOT, IN,  NOT, HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    NOT, NOT, IN,  NOT, HID,    HID, HID, HID,   SEE, HID]),
    guard("OnlyOwner, Active",
        &[NO, JWT, OLD, NO,          NOT, NOT, NOT,    NOT, NOT, IN,  NOT, HID,    HID, HID, HID,   SEE, HID],
        &[NO, JWT, OLD, NO,          OFF, OFF, NOT,    NOT, NOT, OFF, NOT, HID,    HID, HID, HID,   LAT, HID]),
];

/// Whether A is in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Active,
    Suspended,
    Rejected,
}

pub(crate) const STATUSES: [Status; 4] =
    [Status::Pending, Status::Active, Status::Suspended, Status::Rejected];

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Rejected => "rejected",
        }
    }
}

/// What the guard of this name says. A new guard gets its lines above.
pub(crate) fn verdict(name: &str, method: &str, who: Who, status: Status) -> Verdict {
    let guard = GUARDS.iter().find(|guard| guard.name == name);
    let guard = guard.unwrap_or_else(|| panic!("the guard {name:?} has no lines in GUARDS"));
    let line = if status == Status::Active { guard.active } else { guard.otherwise };
    match (line[who as usize], method) {
        (MayLook, "GET") => LetIn,
        (MayNotLookNow, "GET") => OFF,
        (MayLook | MayNotLookNow, _) => HID,
        (verdict, _) => verdict,
    }
}
