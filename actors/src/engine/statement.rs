//! The registry of statements, so that one test can check every SQL text there is.

/// An SQL text with a name. Placeholders are `$1`, `$2`, ... in order of first use: SQLite numbers `$n` by first
/// appearance, PostgreSQL by the number itself, and only this order means the same to both.
#[derive(Debug)]
pub struct Statement {
    /// The name of its constant.
    pub name: &'static str,
    /// The text, one for every engine.
    pub sql: &'static str,
}

/// Declares statements as constants and lists them in `STATEMENTS` of the module.
#[macro_export]
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: &$crate::engine::Statement =
            &$crate::engine::Statement { name: stringify!($name), sql: $sql };)+
        /// Every statement of this module.
        pub(crate) const STATEMENTS: &[&$crate::engine::Statement] = &[$($name),+];
    };
}
