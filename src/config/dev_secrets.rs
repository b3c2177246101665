//! Dev mode makes its own secrets, once, and reads them back at every later start.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use super::secret::Secret;

/// The name of the root secret's file below the data folder.
pub(super) const ROOT_SECRET: &str = "jwt_secret";

/// The name of the encryption key's file below the data folder.
pub(super) const ENCRYPTION_KEY: &str = "encryption_key";

/// The name of the file with the secret that signs events of `gatehouse dev stripe`.
pub(super) const STRIPE_WEBHOOK_SECRET: &str = "stripe_webhook_secret";

/// The secret in `folder/name`: base64 of 32 random bytes, made now if it is not there yet.
pub(super) fn read_or_create(folder: &Path, name: &str) -> io::Result<Secret<String>> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let path = folder.join(name);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(folder, name)?;
            read(&path)
        }
        found => found,
    }
}

/// The secret in `folder/name`, if it is there.
pub(super) fn read_existing(folder: &Path, name: &str) -> io::Result<Option<Secret<String>>> {
    match read(&folder.join(name)) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> io::Result<Secret<String>> {
    let text = Secret::new(fs::read_to_string(path)?);
    // A file that was copied around may have become readable to others: close it again.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(Secret::new(text.expose().trim().to_owned()))
}

fn create(folder: &Path, name: &str) -> io::Result<()> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    let text = Secret::new(STANDARD.encode(bytes));
    bytes.zeroize();

    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write_new(&temporary, text.expose())
        // A link, unlike a rename, never replaces: when two processes start at once, both go on with one secret.
        .and_then(|()| fs::hard_link(&temporary, folder.join(name)))
        .or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) });
    let removed = fs::remove_file(&temporary);
    written.and(removed)?;
    // Without this the name itself could be lost to a power cut, and with it everything sealed under the secret.
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // What a process with the same number left behind when it was killed is not a secret in use.
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        assert!(read_existing(&folder, ROOT_SECRET).unwrap().is_none());

        let first = read_or_create(&folder, ROOT_SECRET).unwrap();
        fs::set_permissions(folder.join(ROOT_SECRET), Permissions::from_mode(0o644)).unwrap();
        let second = read_or_create(&folder, ROOT_SECRET).unwrap();
        assert_eq!(first.expose(), second.expose());

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(ROOT_SECRET)), 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn processes_that_start_together_share_one_secret() {
        let root = tempfile::tempdir().unwrap();
        let first = read_or_create(root.path(), ENCRYPTION_KEY).unwrap();
        // The other process had found no file either, and loses the race.
        create(root.path(), ENCRYPTION_KEY).unwrap();
        assert_eq!(read_existing(root.path(), ENCRYPTION_KEY).unwrap().unwrap().expose(), first.expose());
    }
}
