//! Organizations. For now: the seeded one of dev mode.

use super::json_list;
use crate::clock::Millis;
use crate::engine::{ReadTx, WriteTx};
use crate::error::{OpError, StoreError};
use crate::message::{ReadOp, WriteOp};
use crate::{statements, values};

statements! {
    INSERT_ORGANIZATION = "INSERT INTO organizations (public_id, slug, name, status, created_at, updated_at) \
        VALUES ($1, $2, $3, 'active', $4, $4) ON CONFLICT (slug) DO NOTHING";
    ORGANIZATION_ID_BY_SLUG = "SELECT id FROM organizations WHERE slug = $1";
    UPSERT_SERVICE = "INSERT INTO services (public_id, org_id, slug, name, service_type, client_id, redirect_uris, \
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) \
        ON CONFLICT (org_id, slug) WHERE deleted_at IS NULL DO UPDATE SET redirect_uris = excluded.redirect_uris, \
        updated_at = excluded.updated_at RETURNING id";
    INSERT_DEFAULT_PLAN = "INSERT INTO plans (public_id, service_id, name, features, is_default, created_at) \
        VALUES ($1, $2, 'free', '[]', TRUE, $3) ON CONFLICT (service_id, name) DO NOTHING";
    ANY_ORGANIZATION = "SELECT 1 FROM organizations LIMIT 1";
}

/// Does the database answer? For readiness.
#[derive(Debug, Clone, Copy)]
pub struct Ping;

impl ReadOp for Ping {
    type Output = ();

    fn run(&self, tx: &mut ReadTx<'_>) -> Result<(), StoreError> {
        tx.one(ANY_ORGANIZATION, values![], |_| Ok(()))
    }
}

/// A service to seed.
#[derive(Debug, Clone)]
pub struct SeedService {
    /// UUID for the outside, used when the service is new.
    pub public_id: String,
    /// UUID of its default plan.
    pub plan_public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// `web`, `mobile`, `desktop` or `api`.
    pub service_type: &'static str,
    /// RFC 6749 client identifier.
    pub client_id: String,
    /// Replaces what is registered: the port may have changed since the last start.
    pub redirect_uris: Vec<String>,
}

/// Makes sure that an active organization with these services exists. Dev mode only; may run at every start.
#[derive(Debug, Clone)]
pub struct SeedOrganization {
    /// UUID for the outside, used when the organization is new.
    pub public_id: String,
    /// Name in URLs.
    pub slug: String,
    /// Name on pages.
    pub name: String,
    /// What it offers.
    pub services: Vec<SeedService>,
    /// The present moment.
    pub now: Millis,
}

impl WriteOp for SeedOrganization {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        tx.execute(INSERT_ORGANIZATION, values![&self.public_id, &self.slug, &self.name, self.now])?;
        let org_id = tx.one(ORGANIZATION_ID_BY_SLUG, values![&self.slug], |row| row.get::<i64>(0))?;
        for service in &self.services {
            let redirect_uris = json_list(&service.redirect_uris);
            let values = values![
                &service.public_id,
                org_id,
                &service.slug,
                &service.name,
                service.service_type,
                &service.client_id,
                &redirect_uris,
                self.now,
            ];
            let service_id = tx.one(UPSERT_SERVICE, values, |row| row.get::<i64>(0))?;
            tx.execute(INSERT_DEFAULT_PLAN, values![&service.plan_public_id, service_id, self.now])?;
        }
        Ok(())
    }
}
