//! PKCS#12 (RFC 7292), as Windows, OpenSSL, Java, NSS, GnuTLS and others write it.
//!
//! What a file protects is looked at before anything of it is decrypted: without an integrity code, or with a key or
//! certificates in the clear, it is refused unless that was waived.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::pbe::{self, Password, Refusal, Work};
use super::tlv::{
    CONTEXT_0, CONTEXT_0_PRIMITIVE, Element, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, to_definite,
};
use super::{ImportedKey, Material, Options};
use crate::code::Code;
use crate::error::Error;
use crate::limits::{MATERIAL_CERTIFICATES_MAX, MATERIAL_KEYS_MAX, PFX_BYTES_MAX};

/// Reads a PKCS#12 file.
///
/// # Errors
///
/// [`Code::PfxUnreadable`], [`Code::PfxUnprotected`], [`Code::PfxUnsupported`], [`Code::PfxWithoutKey`],
/// [`Code::PfxWithoutCertificate`], [`Code::PasswordMissing`], [`Code::PasswordWrong`], [`Code::WorkTooLarge`].
pub(super) fn read(bytes: &[u8], options: &Options<'_>) -> Result<Material, Error> {
    if bytes.len() > PFX_BYTES_MAX {
        let expected = format!("at most {PFX_BYTES_MAX} bytes");
        return Err(unreadable(&format!("{} bytes", bytes.len())).expected(expected));
    }
    let definite = to_definite(bytes).map_err(|damaged| unreadable(damaged.0))?;
    let file = File::parse(&definite).map_err(|refusal| error_of(refusal, options))?;
    file.check_protection(options)?;
    let mut work = Work::new(options.iterations_max);
    let (password, has_password) = (options.password.unwrap_or_default(), options.password.is_some());
    let password = file.password(password, &mut work).map_err(|refusal| match refusal {
        Refusal::WrongPassword if !has_password => missing(),
        refusal => error_of(refusal, options),
    })?;
    let mut bags = Bags { material: Material::default(), password, work };
    file.safes.iter().try_for_each(|safe| bags.open(safe)).map_err(|refusal| match refusal {
        // The integrity code was right: so was the password.
        Refusal::WrongPassword if file.mac.is_some() => unreadable("a part that the file's password does not decrypt"),
        refusal => error_of(refusal, options),
    })?;
    complete(bags.material)
}

/// What a file of an identity has: a key and a certificate.
fn complete(material: Material) -> Result<Material, Error> {
    let (certificates, keys) = (material.certificates.len(), material.keys.len());
    if keys == 0 {
        let found = format!("{certificates} certificates and no private key");
        return Err(Error::new(Code::PfxWithoutKey).found(found).expected("the certificate with its private key"));
    }
    if certificates == 0 {
        let found = format!("{keys} private keys and no certificate");
        return Err(Error::new(Code::PfxWithoutCertificate)
            .found(found)
            .expected("the certificate with its private key"));
    }
    Ok(material)
}

/// A file, taken apart as far as that needs no password.
struct File<'a> {
    /// What the integrity code covers: the bytes as they are in the file.
    content: Zeroizing<Vec<u8>>,
    mac: Option<Element<'a>>,
    safes: Vec<Safe>,
}

/// A part of a file.
enum Safe {
    Plain(Zeroizing<Vec<u8>>),
    /// The EncryptedContentInfo.
    Encrypted(Zeroizing<Vec<u8>>),
}

impl<'a> File<'a> {
    fn parse(definite: &'a [u8]) -> Result<Self, Refusal> {
        let mut file = pbe::first_of(definite)?.reader();
        let version = file.expect(INTEGER)?.number()?;
        if version != 3 {
            return Err(Refusal::Unsupported(format!("version {version} of PKCS#12")));
        }
        let (kind, content) = content_info(&file.expect(SEQUENCE)?)?;
        if kind != DATA {
            return Err(Refusal::Unsupported(format!("a file that is signed {CERTIFICATE_PROTECTION}")));
        }
        let content = pbe::first_of(content.body)?.octets()?;
        let mac = file.optional(SEQUENCE)?;
        let inner = to_definite(&content)?;
        let mut safes = Vec::new();
        let mut parts = pbe::first_of(&inner)?.reader();
        while let Some(part) = parts.next_element()? {
            safes.push(Safe::parse(&part)?);
        }
        Ok(Self { content, mac, safes })
    }

    /// Refuses what anybody could have changed or read.
    fn check_protection(&self, options: &Options<'_>) -> Result<(), Error> {
        if options.allow_unprotected {
            return Ok(());
        }
        let unprotected = |found: &str| {
            Err(Error::new(Code::PfxUnprotected)
                .found(found)
                .expected("an integrity code, and key and certificates encrypted"))
        };
        if self.mac.is_none() {
            return unprotected("no integrity code (MAC): anybody could have changed the file");
        }
        for safe in &self.safes {
            let Safe::Plain(bags) = safe else { continue };
            match kinds_in_clear(bags, 0) {
                Ok((true, _)) => return unprotected("a private key in the clear"),
                Ok((_, true)) => return unprotected("certificates in the clear"),
                Ok((false, false)) => {}
                Err(refusal) => return Err(error_of(refusal, options)),
            }
        }
        Ok(())
    }

    /// The password in the form that fits the integrity code.
    fn password<'p>(&self, password: &'p str, work: &mut Work) -> Result<Password<'p>, Refusal> {
        let wide = Password::new(password);
        let Some(mac) = &self.mac else { return Ok(wide) };
        match pbe::check_mac(mac, &self.content, &wide, work) {
            Err(Refusal::WrongPassword) if password.is_empty() => {
                pbe::check_mac(mac, &self.content, &Password::none(), work).map(|()| Password::none())
            }
            outcome => outcome.map(|()| wide),
        }
    }
}

impl Safe {
    fn parse(part: &Element<'_>) -> Result<Self, Refusal> {
        let (kind, content) = content_info(part)?;
        let inner = pbe::first_of(content.body)?;
        match kind {
            DATA => Ok(Self::Plain(definite_octets(&inner)?)),
            ENCRYPTED_DATA => {
                let mut data = inner.reader();
                data.expect(INTEGER)?;
                Ok(Self::Encrypted(Zeroizing::new(data.expect(SEQUENCE)?.raw.to_vec())))
            }
            ENVELOPED_DATA => Err(Refusal::Unsupported(format!("a file that is encrypted {CERTIFICATE_PROTECTION}"))),
            _ => Err(Refusal::Unsupported("a part of an unknown kind".to_owned())),
        }
    }
}

/// The bags of a file as they are opened.
struct Bags<'a> {
    material: Material,
    password: Password<'a>,
    work: Work,
}

impl Bags<'_> {
    fn open(&mut self, safe: &Safe) -> Result<(), Refusal> {
        match safe {
            Safe::Plain(bags) => self.add_all(bags, 0),
            Safe::Encrypted(info) => {
                let mut info = pbe::first_of(info)?.reader();
                info.expect(OBJECT_IDENTIFIER)?;
                let algorithm = info.expect(SEQUENCE)?;
                let Some(data) = info.next_element()? else { return Ok(()) };
                if !matches!(data.tag, CONTEXT_0 | CONTEXT_0_PRIMITIVE) {
                    return Err(Refusal::Damaged("encrypted data of another kind than expected"));
                }
                let plain = pbe::decrypt(&algorithm, &data.octets()?, &self.password, &mut self.work)?;
                // A wrong password can leave padding that looks right.
                let definite = to_definite(&plain).map_err(|_| Refusal::WrongPassword)?;
                self.add_all(&definite, 0)
            }
        }
    }

    fn add_all(&mut self, bags: &[u8], depth: usize) -> Result<(), Refusal> {
        let mut bags = pbe::first_of(bags)?.reader();
        while let Some(bag) = bags.next_element()? {
            self.add(&bag, depth)?;
        }
        Ok(())
    }

    fn add(&mut self, bag: &Element<'_>, depth: usize) -> Result<(), Refusal> {
        let (kind, value) = bag_of(bag)?;
        match kind {
            KEY_BAG => self.add_key(Zeroizing::new(value.raw.to_vec()), false),
            SHROUDED_KEY_BAG => {
                let mut key = value.reader();
                let algorithm = key.expect(SEQUENCE)?;
                let data = key.expect(OCTET_STRING)?.octets()?;
                let plain = pbe::decrypt(&algorithm, &data, &self.password, &mut self.work)?;
                let definite = to_definite(&plain).map_err(|_| Refusal::WrongPassword)?;
                self.add_key(definite, true)
            }
            CERTIFICATE_BAG => {
                let Some(der) = x509_of(&value, X509_CERTIFICATE)? else { return Ok(()) };
                let certificates = &mut self.material.certificates;
                if certificates.len() >= MATERIAL_CERTIFICATES_MAX {
                    return Err(Refusal::TooMuchWork(format!("more than {MATERIAL_CERTIFICATES_MAX} certificates")));
                }
                certificates.push(CertificateDer::from(der));
                Ok(())
            }
            LIST_BAG => {
                let der = x509_of(&value, X509_LIST)?;
                self.material.lists.extend(der.map(CertificateRevocationListDer::from));
                Ok(())
            }
            SAFE_BAG if depth < BAG_DEPTH_MAX => self.add_all(value.raw, depth + 1),
            SAFE_BAG => Err(Refusal::Damaged("bags nested too deeply")),
            // Secrets of Java and bags of the future: nothing that an identity is made of.
            _ => Ok(()),
        }
    }

    fn add_key(&mut self, der: Zeroizing<Vec<u8>>, was_encrypted: bool) -> Result<(), Refusal> {
        if self.material.keys.len() >= MATERIAL_KEYS_MAX {
            return Err(Refusal::TooMuchWork(format!("more than {MATERIAL_KEYS_MAX} private keys")));
        }
        self.material.keys.push(ImportedKey { der, was_encrypted });
        Ok(())
    }
}

/// Whether there are keys and certificates among unencrypted bags.
fn kinds_in_clear(bags: &[u8], depth: usize) -> Result<(bool, bool), Refusal> {
    let mut found = (false, false);
    let mut bags = pbe::first_of(bags)?.reader();
    while let Some(bag) = bags.next_element()? {
        match bag_of(&bag)? {
            (KEY_BAG, _) => found.0 = true,
            (CERTIFICATE_BAG, _) => found.1 = true,
            (SAFE_BAG, value) if depth < BAG_DEPTH_MAX => {
                let inner = kinds_in_clear(value.raw, depth + 1)?;
                found = (found.0 || inner.0, found.1 || inner.1);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A bag's kind and value.
fn bag_of<'a>(bag: &Element<'a>) -> Result<(&'a [u8], Element<'a>), Refusal> {
    let mut reader = bag.reader();
    let kind = reader.expect(OBJECT_IDENTIFIER)?.body;
    Ok((kind, pbe::first_of(reader.expect(CONTEXT_0)?.body)?))
}

/// The bytes of a certificate's or list's bag, if it is of X.509.
fn x509_of(value: &Element<'_>, kind: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    let mut reader = value.reader();
    if reader.expect(OBJECT_IDENTIFIER)?.body != kind {
        return Ok(None);
    }
    let inner = pbe::first_of(reader.expect(CONTEXT_0)?.body)?;
    Ok(Some(inner.octets()?.to_vec()))
}

fn content_info<'a>(info: &Element<'a>) -> Result<(&'a [u8], Element<'a>), Refusal> {
    let mut reader: Reader<'a> = info.reader();
    let kind = reader.expect(OBJECT_IDENTIFIER)?.body;
    Ok((kind, reader.expect(CONTEXT_0)?))
}

/// What an OCTET STRING holds, with definite lengths.
fn definite_octets(element: &Element<'_>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    Ok(to_definite(&element.octets()?)?)
}

fn unreadable(found: &str) -> Error {
    Error::new(Code::PfxUnreadable).found(found).expected("a whole PKCS#12 file")
}

/// The error of a refusal; the way out of an old scheme is a command that can be pasted.
fn error_of(refusal: Refusal, options: &Options<'_>) -> Error {
    match refusal {
        Refusal::Damaged(found) => unreadable(found),
        Refusal::Unsupported(found) => {
            let for_somebody = found.ends_with(CERTIFICATE_PROTECTION);
            let error = Error::new(Code::PfxUnsupported)
                .found(found)
                .expected("PBES2 with AES, or SHA-1 with 3DES or 40-bit RC2; an integrity code of SHA-1 or SHA-2");
            if for_somebody { error.remedy("export it again with a password, not for a user or group") } else { error }
        }
        Refusal::TooMuchWork(found) => Error::new(Code::WorkTooLarge).found(found),
        Refusal::WrongPassword if options.password.is_none() => missing(),
        Refusal::WrongPassword => Error::new(Code::PasswordWrong)
            .found("an integrity code that does not fit this password")
            .expected("the password that the file was exported with, and an undamaged file"),
    }
}

/// How Windows protects a file for a user or a group of a domain.
const CERTIFICATE_PROTECTION: &str = "with a certificate instead of a password";
/// Bags in bags: nobody writes more than one level.
const BAG_DEPTH_MAX: usize = 4;

fn missing() -> Error {
    Error::new(Code::PasswordMissing).found("no password").expected("the password that it was exported with")
}

/// 1.2.840.113549.1.7.1.
pub(super) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.2.
pub(super) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.12.10.1.1 to 6.
const KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01];
const SHROUDED_KEY_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x02];
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
const LIST_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x04];
const SAFE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x06];
/// 1.2.840.113549.1.9.22.1 and 23.1.
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const X509_LIST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x17, 0x01];
