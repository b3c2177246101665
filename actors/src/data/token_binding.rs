//! What the tokens of a code or a session are bound to: a key that the client holds (RFC 9449), and what they are for
//! (RFC 8707).

use serde::{Deserialize, Serialize};

use super::{json_list, string_list};
use crate::engine::{ReadTx, WriteTx};
use crate::error::StoreError;
use crate::{statements, values};

statements! {
    BIND_CODE = "UPDATE authorization_codes SET dpop_jkt = $1, resources = $2 WHERE id = $3";
    BINDING_OF_CODE = "SELECT dpop_jkt, resources FROM authorization_codes WHERE id = $1";
    BIND_SESSION = "UPDATE sessions SET dpop_jkt = $1, resources = $2 WHERE id = $3";
    RESOURCES_OF_SERVICE = "SELECT s.resources FROM sessions x JOIN services s ON s.id = x.service_id WHERE x.id = $1";
    BINDING_OF_SESSION = "SELECT dpop_jkt, resources FROM sessions WHERE id = $1";
}

/// What tokens are bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBinding {
    /// The thumbprint of the client's key (RFC 7638).
    pub dpop_jkt: Option<String>,
    /// What the tokens may be for; empty: nothing in particular was asked for.
    pub resources: Vec<String>,
}

impl TokenBinding {
    pub(crate) fn bind_code(&self, tx: &mut WriteTx<'_>, code_id: i64) -> Result<(), StoreError> {
        self.bind(tx, BIND_CODE, code_id)
    }

    pub(crate) fn bind_session(&self, tx: &mut WriteTx<'_>, session_id: i64) -> Result<(), StoreError> {
        self.bind(tx, BIND_SESSION, session_id)
    }

    pub(crate) fn of_code(tx: &mut ReadTx<'_>, code_id: i64) -> Result<Self, StoreError> {
        Self::read(tx, BINDING_OF_CODE, code_id)
    }

    pub(crate) fn of_session(tx: &mut ReadTx<'_>, session_id: i64) -> Result<Self, StoreError> {
        Self::read(tx, BINDING_OF_SESSION, session_id)
    }

    /// Leaves out what the service has taken off its registration since. False when nothing is left of what the tokens
    /// were for: an empty list would widen them to the service itself.
    pub(crate) fn keep_registered(
        &mut self,
        tx: &mut ReadTx<'_>,
        session_id: i64,
    ) -> Result<bool, StoreError> {
        if self.resources.is_empty() {
            return Ok(true);
        }
        let registered = tx.one(RESOURCES_OF_SERVICE, values![session_id], |row| row.get::<String>(0))?;
        let registered = string_list("services", "resources", &registered)?;
        self.resources.retain(|resource| registered.contains(resource));
        Ok(!self.resources.is_empty())
    }

    /// Rows begin unbound, so that nothing is written in the common case.
    fn bind(
        &self,
        tx: &mut WriteTx<'_>,
        statement: &crate::engine::Statement,
        id: i64,
    ) -> Result<(), StoreError> {
        if *self != Self::default() {
            tx.execute(statement, values![&self.dpop_jkt, &json_list(&self.resources), id])?;
        }
        Ok(())
    }

    fn read(tx: &mut ReadTx<'_>, statement: &crate::engine::Statement, id: i64) -> Result<Self, StoreError> {
        tx.one(statement, values![id], |row| {
            let resources = string_list("sessions", "resources", &row.get::<String>(1)?)?;
            Ok(Self { dpop_jkt: row.get(0)?, resources })
        })
    }

    /// Whether a client that holds the key `jkt` may use what is bound like this.
    #[must_use]
    pub fn admits_key(&self, jkt: Option<&str>) -> bool {
        self.dpop_jkt.is_none() || self.dpop_jkt.as_deref() == jkt
    }

    /// Whether tokens for all of these are within the binding.
    #[must_use]
    pub fn admits_resources(&self, asked: &[String]) -> bool {
        self.resources.is_empty() || asked.iter().all(|resource| self.resources.contains(resource))
    }
}
