//! Values that stand as their text in JSON: what people read, and what is parsed again when it comes back.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// Implements serde by `Display` and `FromStr`: a value from outside is parsed, so it is never a bad one.
macro_rules! text_form {
    ($($type:ty),*) => { $(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::text_form::parsed(deserializer)
            }
        }
    )* };
}
pub(crate) use text_form;

/// Reads a text and parses it.
pub(crate) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// The bytes that these hexadecimal digits are in pairs; `None` if they are anything else.
pub(crate) fn bytes_of_hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let value = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        value(0).zip(value(1)).map(|(high, low)| (high * 16 + low) as u8)
    };
    digits.chunks(2).map(byte).collect()
}

/// Bytes as hexadecimal digits.
#[cfg(feature = "management-server")]
pub(crate) mod hexadecimal {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::text_form::bytes_of_hexadecimal;

    pub(crate) fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect();
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let value = bytes_of_hexadecimal(text.as_bytes()).and_then(|bytes| T::try_from(bytes).ok());
        value.ok_or_else(|| D::Error::custom("hexadecimal digits in pairs are expected, of the right number"))
    }
}

#[cfg(test)]
mod tests {
    use crate::code::Code;
    use crate::identity::KeyHash;
    use crate::message::Epoch;
    use crate::name::Name;
    use crate::role::Role;
    use crate::time::Timestamp;

    fn round<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: T, text: &str) {
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
    }

    #[test]
    fn values_stand_as_their_text_and_come_back_from_it() {
        round(Name::parse("PC7.branch.example").unwrap(), "pc7.branch.example");
        round(Timestamp::from_unix_millis(1_763_813_051_020), "2025-11-22T12:04:11.020Z");
        round(Epoch(0x9f), "000000000000009f");
        round(Role::ManagementServer, "management-server");
        round(Code::NameUnknown, &Code::NameUnknown.to_string());
        round(KeyHash([0xa5; 32]), &"a5".repeat(32));
    }

    #[test]
    fn a_bad_text_is_no_value() {
        for name in ["\"a b\"", "\"'; drop table agents\"", "\"\"", "7"] {
            serde_json::from_str::<Name>(name).unwrap_err();
        }
        for hash in ["\"\"", "\"a5\"", &format!("\"{}\"", "g0".repeat(32)), &format!("\"{}\"", "é".repeat(32))] {
            serde_json::from_str::<KeyHash>(hash).unwrap_err();
        }
        serde_json::from_str::<Epoch>("\"+00000000000009f\"").unwrap_err();
        serde_json::from_str::<Code>("\"FP1\"").unwrap_err();
    }
}
