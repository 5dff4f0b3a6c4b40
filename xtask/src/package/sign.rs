//! The signature: a certificate that is made for one package, and a key that nobody has afterwards.
//!
//! No crate that is well kept writes Authenticode signatures, so two programs do it: openssl makes key and
//! certificate, osslsigncode signs. Windows trusts the certificate where it is told to, in
//! test mode only; a key that stayed anywhere would sign other drivers for the same machines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::run::{self, Outcome};

/// Days for which the certificate is valid: there is no time stamp to outlive it.
const DAYS: &str = "3650";

/// The programs, each with what it answers to.
const PROGRAMS: &[(&str, &str)] = &[("openssl", "version"), ("osslsigncode", "--version")];

/// A certificate, as the package needs it.
pub(super) struct Certificate {
    /// Its name.
    pub(super) subject: String,
    /// The SHA-1 of its bytes, by which certutil finds it.
    pub(super) thumbprint: String,
    /// The file that Windows reads.
    pub(super) der: Vec<u8>,
}

/// Whether the programs are there, in one line if not.
pub(super) fn look_for_programs() -> Outcome {
    all_there(PROGRAMS)
}

fn all_there(programs: &[(&'static str, &str)]) -> Outcome {
    let is_missing = |(name, argument): &(&'static str, &str)| {
        let mut command = Command::new(name);
        let command = command.arg(argument).stdout(Stdio::null());
        command
            .stderr(Stdio::null())
            .status()
            .is_err()
            .then_some(*name)
    };
    let missing: Vec<&str> = programs.iter().filter_map(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    Err(format!(
        "{names} missing; on Debian: apt-get install {names}"
    ))
}

/// Signs a file into another, with a certificate of its own that is called `subject`.
pub(super) fn sign(from: &Path, to: &Path, subject: &str) -> Result<Certificate, String> {
    let folder = Folder::new(to)?;
    let certificate = make(&folder, subject)?;
    // osslsigncode writes over nothing.
    if to.exists() {
        fs::remove_file(to).map_err(|error| failed(to, &error))?;
    }
    let (pem, key) = (folder.file("certificate.pem"), folder.file("key.pem"));
    let mut command = Command::new("osslsigncode");
    command
        .args(["sign", "-h", "sha256", "-n", "xfersplit", "-certs"])
        .arg(&pem)
        .arg("-key")
        .arg(&key)
        .arg("-in")
        .arg(from)
        .arg("-out")
        .arg(to);
    run::check(command.stdout(Stdio::null()))?;
    let mut command = Command::new("osslsigncode");
    command.args(["verify", "-CAfile"]).arg(&pem);
    run::check(command.arg("-in").arg(to).stdout(Stdio::null()))?;
    Ok(certificate)
}

/// Makes the key and the certificate.
fn make(folder: &Folder, subject: &str) -> Result<Certificate, String> {
    let (settings, pem, der) = (
        folder.file("openssl.cnf"),
        folder.file("certificate.pem"),
        folder.file("certificate.cer"),
    );
    fs::write(&settings, request(subject)).map_err(|error| failed(&settings, &error))?;
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-sha256"])
        .args(["-days", DAYS, "-config"])
        .arg(&settings)
        .arg("-keyout")
        .arg(folder.file("key.pem"))
        .arg("-out")
        .arg(&pem);
    run::check(command.stderr(Stdio::null()))?;
    let mut command = Command::new("openssl");
    command.args(["x509", "-outform", "DER", "-in"]).arg(&pem);
    run::check(command.arg("-out").arg(&der))?;
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha1", "-in"])
        .arg(&pem)
        .output()
        .map_err(|error| format!("openssl did not start: {error}"))?;
    Ok(Certificate {
        subject: format!("CN={subject}"),
        thumbprint: thumbprint(&String::from_utf8_lossy(&output.stdout))?,
        der: fs::read(&der).map_err(|error| failed(&der, &error))?,
    })
}

/// What openssl is asked for: a certificate for signing code and for nothing else.
fn request(subject: &str) -> String {
    format!(
        "[req]\ndistinguished_name = name\nx509_extensions = code\nprompt = no\n\
         [name]\nCN = {subject}\n\
         [code]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n\
         extendedKeyUsage = critical, codeSigning\nsubjectKeyIdentifier = hash\n"
    )
}

/// `sha1 Fingerprint=AA:BB:...` without the colons.
fn thumbprint(line: &str) -> Result<String, String> {
    let (_, digits) = line
        .trim()
        .split_once('=')
        .ok_or("openssl shows no fingerprint")?;
    let digits = digits.replace(':', "").to_lowercase();
    if digits.len() == 40 && digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(format!("{digits:?} is no SHA-1"))
    }
}

/// A folder for the key, which is gone, with the key, when this is.
struct Folder(PathBuf);

impl Folder {
    /// Next to the file that will be signed, readable for nobody else.
    fn new(beside: &Path) -> Result<Self, String> {
        let path = beside.with_extension("signing");
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| failed(&path, &error))?;
        }
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&path)
            .map_err(|error| failed(&path, &error))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}; the key is still in it", self.0.display());
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_one_line_that_says_what_to_install() {
        assert_eq!(all_there(&[("cargo", "--version")]), Ok(()));
        let programs = [("cargo", "--version"), ("xfersplit-no-such-program", "")];
        let line = all_there(&programs).expect_err("one is missing");
        let wanted = "xfersplit-no-such-program missing; on Debian: apt-get install xfersplit-no-such-program";
        assert_eq!(line, wanted);
    }

    #[test]
    fn a_thumbprint_is_forty_digits() {
        let line = "sha1 Fingerprint=00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\n";
        let digits = thumbprint(line).expect("a thumbprint");
        assert_eq!(digits, "00112233445566778899aabbccddeeff00112233");
        assert!(thumbprint("sha1 Fingerprint=00:11").is_err());
        assert!(thumbprint("").is_err());
    }

    #[test]
    fn the_folder_of_the_key_does_not_outlive_it() {
        let beside = std::env::temp_dir().join(format!("xfersplit-{}.sys", std::process::id()));
        let folder = Folder::new(&beside).expect("a folder");
        let key = folder.file("key.pem");
        fs::write(&key, "key").expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let about = fs::metadata(&folder.0).expect("it is there");
            assert_eq!(about.permissions().mode() & 0o777, 0o700);
        }
        drop(folder);
        assert!(!key.exists() && !beside.with_extension("signing").exists());
    }
}
