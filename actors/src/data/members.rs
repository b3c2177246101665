//! The team of an organization. Every change looks at the roles of the moment, inside its own transaction, so that
//! exactly one owner remains whatever happens at the same time.

use serde_json::{Value as Json, json};

use super::PLATFORM_ORG_ID;
use super::audit::{self, AuditContext, Happened};
use super::memberships::Role;
use super::users::User;
use crate::clock::Millis;
use crate::engine::{ReadTx, Row, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

/// The columns of [`Member`], for every statement that reads one.
macro_rules! select_member {
    () => {
        "SELECT m.id, m.public_id, o.public_id, m.role, m.created_at, u.public_id, u.email, u.name, u.avatar_url, \
         u.created_at, m.user_id \
         FROM memberships m JOIN organizations o ON o.id = m.org_id JOIN users u ON u.id = m.user_id"
    };
}

statements! {
    MEMBERS = concat!(
        select_member!(),
        " WHERE m.org_id = $1 AND (CAST($2 AS TEXT) IS NULL OR m.role = $2) ORDER BY m.id LIMIT $3 OFFSET $4"
    );
    COUNT_MEMBERS = "SELECT COUNT(*) FROM memberships m \
        WHERE m.org_id = $1 AND (CAST($2 AS TEXT) IS NULL OR m.role = $2)";
    TEAM_LIMIT = "SELECT (SELECT COUNT(*) FROM memberships m WHERE m.org_id = o.id), \
        COALESCE(o.max_users, t.default_max_users), o.max_users IS NOT NULL \
        FROM organizations o JOIN tiers t ON t.id = o.tier_id WHERE o.id = $1";
    MEMBER_BY_USER = concat!(select_member!(), " WHERE m.org_id = $1 AND m.user_id = $2");
    MEMBER_BY_PUBLIC_ID = concat!(select_member!(), " WHERE m.org_id = $1 AND u.public_id = $2");
    MEMBER_BY_EMAIL = concat!(select_member!(), " WHERE m.org_id = $1 AND u.org_id = $2 AND u.email = $3");
    INSERT_MEMBER = "INSERT INTO memberships (public_id, org_id, user_id, role, created_at) \
        VALUES ($1, $2, $3, $4, $5)";
    SET_ROLE = "UPDATE memberships SET role = $1 WHERE id = $2";
    DELETE_MEMBER = "DELETE FROM memberships WHERE id = $1";
    ORGANIZATION_STATUS = "SELECT status FROM organizations WHERE id = $1";
}

/// Somebody who administers an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Row id of the membership.
    pub id: i64,
    /// UUID of the membership.
    pub public_id: String,
    /// UUID of the organization.
    pub org_public_id: String,
    /// The role.
    pub role: Role,
    /// When they joined.
    pub created_at: Millis,
    /// Who it is.
    pub user: User,
    /// Row id of the user.
    pub user_id: i64,
}

impl Member {
    fn from_row(row: &Row<'_, '_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get(0)?,
            public_id: row.get(1)?,
            org_public_id: row.get(2)?,
            role: Role::from_column(&row.get::<String>(3)?)?,
            created_at: row.get(4)?,
            user: User::from_columns(row, 5)?,
            user_id: row.get(10)?,
        })
    }
}

/// How large a team may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TeamLimit {
    /// Members, the owner among them.
    pub current: i64,
    /// Members allowed; none means unlimited.
    pub max: Option<i64>,
    /// Whether the limit is the organization's own, not its tier's.
    pub is_override: bool,
}

/// How large is the team, and how large may it be? Part of the caller's transaction.
pub(crate) fn team_limit(tx: &mut ReadTx<'_>, org_id: i64) -> Result<TeamLimit, StoreError> {
    tx.one(TEAM_LIMIT, values![org_id], |row| {
        Ok(TeamLimit { current: row.get(0)?, max: row.get(1)?, is_override: row.get(2)? })
    })
}

/// Makes a user of the platform realm a member: row ids of organization and user, UUID and role of the membership.
/// Part of the caller's transaction, and the caller's to check that the user is none yet.
pub(crate) fn join(
    tx: &mut WriteTx<'_>,
    (org_id, user_id): (i64, i64),
    (public_id, role): (&str, Role),
    now: Millis,
) -> Result<Member, StoreError> {
    tx.execute(INSERT_MEMBER, values![public_id, org_id, user_id, role.as_str(), now])?;
    tx.one(MEMBER_BY_USER, values![org_id, user_id], Member::from_row)
}

/// A page of a team, in the order of joining.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    /// Row id of the organization.
    pub org_id: i64,
    /// Only those with this role.
    pub role: Option<Role>,
    /// The most to return.
    pub limit: i64,
    /// How many to skip.
    pub offset: i64,
}

/// A page of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPage {
    /// The members.
    pub members: Vec<Member>,
    /// How many there are on all pages together.
    pub total: i64,
    /// How large the team may be.
    pub limit: TeamLimit,
}

impl ReadOp for Members {
    type Output = MemberPage;

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<MemberPage, StoreError> {
        let role = self.role.map(Role::as_str);
        let values = values![self.org_id, role, self.limit, self.offset];
        let members = tx.all(MEMBERS, values, Member::from_row)?;
        let total = tx.one(COUNT_MEMBERS, values![self.org_id, role], |row| row.get(0))?;
        Ok(MemberPage { members, total, limit: team_limit(tx, self.org_id)? })
    }
}

/// Why a team did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRefusal {
    /// Whoever asks has not, or no longer, the role that it takes.
    NotAllowed,
    /// The person meant is no member.
    NoSuchMember,
    /// The owner must hand over ownership first.
    OwnerStays,
    /// Ownership is handed over to somebody else, not to oneself.
    AlreadyOwner,
}

type Refusable<T> = Result<T, OpError<MemberRefusal>>;

fn refused<T>(refusal: MemberRefusal) -> Refusable<T> {
    Err(OpError::Refused(refusal))
}

/// Who acts in which organization: row ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acting {
    /// The organization.
    pub org_id: i64,
    /// The user.
    pub user_id: i64,
}

impl Acting {
    /// The acting member as they are now: the check before the transaction may be out of date.
    fn member(self, tx: &mut WriteTx<'_>, least: Role) -> Refusable<Member> {
        match tx.optional(MEMBER_BY_USER, values![self.org_id, self.user_id], Member::from_row)? {
            Some(member) if member.role >= least => Ok(member),
            _ => refused(MemberRefusal::NotAllowed),
        }
    }

    fn target(self, tx: &mut WriteTx<'_>, public_id: &str) -> Refusable<Member> {
        tx.optional(MEMBER_BY_PUBLIC_ID, values![self.org_id, public_id], Member::from_row)?
            .ok_or(OpError::Refused(MemberRefusal::NoSuchMember))
    }

    fn note(
        self,
        tx: &mut WriteTx<'_>,
        audit: &AuditContext,
        (action, member): (&'static str, &Member),
        metadata: Json,
    ) -> Result<(), StoreError> {
        let target = ("user", member.user.public_id.as_str());
        audit::append(tx, audit, &Happened { org_id: self.org_id, action, target, metadata })
    }
}

/// Hands over ownership; the old owner becomes an admin.
fn hand_over(
    tx: &mut WriteTx<'_>,
    acting: Acting,
    (owner, heir): (&Member, Member),
    audit: &AuditContext,
) -> Refusable<Member> {
    if owner.id == heir.id {
        return refused(MemberRefusal::AlreadyOwner);
    }
    // In this order: at no moment has an organization two owners.
    tx.execute(SET_ROLE, values![Role::Admin.as_str(), owner.id])?;
    tx.execute(SET_ROLE, values![Role::Owner.as_str(), heir.id])?;
    let metadata = json!({
        "before": { "owner_user_id": owner.user.public_id, "role": heir.role.as_str() },
        "after": { "owner_user_id": heir.user.public_id, "role": Role::Owner.as_str() },
    });
    acting.note(tx, audit, ("organization.ownership_transferred", &heir), metadata)?;
    Ok(Member { role: Role::Owner, ..heir })
}

/// Gives a member another role. To make somebody owner is to hand over ownership.
#[derive(Debug, Clone)]
pub struct ChangeRole {
    /// Who asks, where. Only the owner may.
    pub acting: Acting,
    /// UUID of the user meant.
    pub user_public_id: String,
    /// The role to be.
    pub role: Role,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for ChangeRole {
    type Output = Member;
    type Refused = MemberRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Refusable<Member> {
        let owner = self.acting.member(tx, Role::Owner)?;
        let member = self.acting.target(tx, &self.user_public_id)?;
        if self.role == Role::Owner {
            return hand_over(tx, self.acting, (&owner, member), &self.audit);
        }
        if member.role == Role::Owner {
            return refused(MemberRefusal::OwnerStays);
        }
        if member.role != self.role {
            tx.execute(SET_ROLE, values![self.role.as_str(), member.id])?;
            let metadata = json!({
                "before": { "role": member.role.as_str() },
                "after": { "role": self.role.as_str() },
            });
            self.acting.note(tx, &self.audit, ("member.role_changed", &member), metadata)?;
        }
        Ok(Member { role: self.role, ..member })
    }
}

/// Whom ownership goes to: a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heir {
    /// By UUID of the user.
    UserPublicId(String),
    /// By verified address, normalized.
    Email(String),
}

/// Hands ownership to another member.
#[derive(Debug, Clone)]
pub struct TransferOwnership {
    /// Who asks, where. Only the owner may.
    pub acting: Acting,
    /// Whom it goes to.
    pub heir: Heir,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for TransferOwnership {
    type Output = Member;
    type Refused = MemberRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Refusable<Member> {
        let owner = self.acting.member(tx, Role::Owner)?;
        let heir = match &self.heir {
            Heir::UserPublicId(public_id) => self.acting.target(tx, public_id)?,
            Heir::Email(email) => tx
                .optional(
                    MEMBER_BY_EMAIL,
                    values![self.acting.org_id, PLATFORM_ORG_ID, email],
                    Member::from_row,
                )?
                .ok_or(OpError::Refused(MemberRefusal::NoSuchMember))?,
        };
        hand_over(tx, self.acting, (&owner, heir), &self.audit)
    }
}

/// Removes a member: an admin removes members, the owner also admins, and everybody but the owner may leave.
///
/// The owner of a pending organization without other members may leave it too. That is how somebody gives back an
/// organization that a stranger registered in their name; nobody can claim it afterwards.
#[derive(Debug, Clone)]
pub struct RemoveMember {
    /// Who asks, where.
    pub acting: Acting,
    /// UUID of the user meant.
    pub user_public_id: String,
    /// Who, from where.
    pub audit: AuditContext,
}

impl WriteOp for RemoveMember {
    type Output = ();
    type Refused = MemberRefusal;

    fn apply(&self, tx: &mut WriteTx<'_>) -> Refusable<()> {
        let actor = self.acting.member(tx, Role::Member)?;
        let leaves = actor.user.public_id == self.user_public_id;
        if !leaves && actor.role < Role::Admin {
            return refused(MemberRefusal::NotAllowed);
        }
        let member = if leaves { actor.clone() } else { self.acting.target(tx, &self.user_public_id)? };
        let action = match (leaves, member.role) {
            (true, Role::Owner) if self.may_give_back(tx)? => "organization.declined",
            (true, Role::Owner) => return refused(MemberRefusal::OwnerStays),
            (true, _) => "member.left",
            (false, role) if role < actor.role => "member.removed",
            (false, _) => return refused(MemberRefusal::NotAllowed),
        };
        tx.execute(DELETE_MEMBER, values![member.id])?;
        let metadata = json!({ "before": { "role": member.role.as_str() } });
        self.acting.note(tx, &self.audit, (action, &member), metadata)?;
        Ok(())
    }
}

impl RemoveMember {
    fn may_give_back(&self, tx: &mut WriteTx<'_>) -> Result<bool, StoreError> {
        let org_id = self.acting.org_id;
        let status: String = tx.one(ORGANIZATION_STATUS, values![org_id], |row| row.get(0))?;
        Ok(status == "pending" && team_limit(tx, org_id)?.current == 1)
    }
}
