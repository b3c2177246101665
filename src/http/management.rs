//! Callers of the management API: people of the platform realm, in a role, in an organization.

use std::marker::PhantomData;

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use gatehouse_actors::data::audit::{AuditContext, NotePlatformRead};
use gatehouse_actors::data::memberships::{Organization, OrganizationForCaller, Role};
use gatehouse_actors::data::sessions::Subject;

use super::address::{client_address, user_agent};
use super::caller::{Caller, SignedIn, app_of};
use crate::error::{Code, Error};
use crate::state::App;

/// Anybody signed in to the platform realm. A token made for a service never opens a management route.
pub struct Administrator {
    /// The session.
    pub subject: Arc<Subject>,
}

impl Caller for Administrator {
    const NAME: &'static str = "Administrator";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let SignedIn { subject } = SignedIn::identify(request).await?;
        if subject.is_platform {
            return Ok(Self { subject });
        }
        Err(Error::new(
            Code::Forbidden,
            "This token was made for a service. It does not open the management API.",
        ))
    }
}

/// Anybody, or somebody signed in to the platform realm: a token that is sent must be good.
pub struct MaybeAdministrator {
    /// The session, if there is one.
    pub subject: Option<Arc<Subject>>,
}

impl Caller for MaybeAdministrator {
    const NAME: &'static str = "MaybeAdministrator";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        if !request.headers().contains_key(AUTHORIZATION) {
            return Ok(Self { subject: None });
        }
        let Administrator { subject } = Administrator::identify(request).await?;
        Ok(Self { subject: Some(subject) })
    }
}

/// A platform owner.
pub struct PlatformOwner {
    /// The session.
    pub subject: Arc<Subject>,
}

impl Caller for PlatformOwner {
    const NAME: &'static str = "PlatformOwner";

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let Administrator { subject } = Administrator::identify(request).await?;
        // From the database as it is now: a demoted owner's token says more than its holder may do.
        if subject.is_platform_owner {
            return Ok(Self { subject });
        }
        Err(Error::new(Code::Forbidden, "Only platform owners may do this."))
    }
}

/// The least role that a route asks for.
pub trait LeastRole: 'static {
    /// The role.
    const ROLE: Role;
}

/// Every member.
pub struct AnyMember;
/// Admins and the owner.
pub struct AtLeastAdmin;
/// The owner alone.
pub struct OnlyOwner;

impl LeastRole for AnyMember {
    const ROLE: Role = Role::Member;
}
impl LeastRole for AtLeastAdmin {
    const ROLE: Role = Role::Admin;
}
impl LeastRole for OnlyOwner {
    const ROLE: Role = Role::Owner;
}

/// Which organizations a route works in.
pub trait OrganizationState: 'static {
    /// Whether the organization must be active.
    const MUST_BE_ACTIVE: bool;
}

/// Any state.
pub struct InAnyState;
/// Only while the organization is active.
pub struct Active;

impl OrganizationState for InAnyState {
    const MUST_BE_ACTIVE: bool = false;
}
impl OrganizationState for Active {
    const MUST_BE_ACTIVE: bool = true;
}

/// Somebody with a role in the organization that the path names as `{org}`.
///
/// Who has no rights there gets 404, so that its existence is not disclosed; a member who lacks the role gets 403.
/// Platform owners may read (audited) and never write here.
pub struct OrganizationCaller<R, S = InAnyState> {
    /// The session.
    pub subject: Arc<Subject>,
    /// The organization.
    pub organization: Organization,
    /// The role; none for a platform owner who is no member and reads.
    pub role: Option<Role>,
    marker: PhantomData<(R, S)>,
}

impl<R: LeastRole, S: OrganizationState> Caller for OrganizationCaller<R, S> {
    const NAME: &'static str = match (R::ROLE, S::MUST_BE_ACTIVE) {
        (Role::Member, false) => "AnyMember",
        (Role::Member, true) => "AnyMember, Active",
        (Role::Admin, false) => "AtLeastAdmin",
        (Role::Admin, true) => "AtLeastAdmin, Active",
        (Role::Owner, false) => "OnlyOwner",
        (Role::Owner, true) => "OnlyOwner, Active",
    };

    async fn identify(request: &HttpRequest) -> Result<Self, Error> {
        let app = app_of(request)?;
        let Administrator { subject } = Administrator::identify(request).await?;
        let not_found = || Error::new(Code::NotFound, "There is no such organization.");
        let reference = request.match_info().get("org").ok_or_else(not_found)?.to_owned();
        let question = OrganizationForCaller { reference, user_id: subject.user_id };
        let (organization, role) = app.store.read(question).await?.ok_or_else(not_found)?;
        let may = role.is_some_and(|role| role >= R::ROLE);
        match role {
            _ if may => {}
            _ if subject.is_platform_owner && request.method() == Method::GET => {
                note_read(request, app, &subject, &organization).await?;
            }
            Some(_) => {
                let message = format!("This needs the role {} in the organization.", R::ROLE.as_str());
                return Err(Error::new(Code::Forbidden, message));
            }
            None => return Err(not_found()),
        }
        if S::MUST_BE_ACTIVE && organization.status != "active" {
            return Err(Error::not_active(&organization.status));
        }
        Ok(Self { subject, organization, role, marker: PhantomData })
    }
}

async fn note_read(
    request: &HttpRequest,
    app: &App,
    subject: &Subject,
    organization: &Organization,
) -> Result<(), Error> {
    let note = NotePlatformRead {
        org_id: organization.id,
        org_public_id: organization.public_id.clone(),
        route: request.match_pattern().unwrap_or_default(),
        audit: audit_context(app, request, Some(subject)),
    };
    app.store.write(note).await.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))
}

/// Who acts, from where: for the audit entry that a change writes.
#[must_use]
pub fn audit_context(app: &App, request: &HttpRequest, actor: Option<&Subject>) -> AuditContext {
    let now = app.clock.now();
    AuditContext {
        entry_public_id: app.random.uuid(now),
        actor_user_id: actor.map(|subject| subject.user_public_id.clone()),
        ip_address: client_address(request, &app.config.trusted_proxies)
            .map(|address| address.to_string())
            .unwrap_or_default(),
        user_agent: user_agent(request),
        now,
    }
}
