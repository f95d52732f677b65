use super::*;

fn token(seed: u8) -> EnrolmentToken {
    EnrolmentToken::from_seed(Zeroizing::new([seed; 32]))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn a_token_reads_back_however_people_write_it() {
    let token = token(0x5a);
    let text = token.text();
    assert_eq!(text.as_str(), "fpt1-B9D5MPJ-TB9D5MP-JTB9D5M-PJTB9D5-MPJTB9D-5MPJTB9-D5MPJTB-9D359YZ");
    for written in [
        text.to_string(),
        text.to_lowercase(),
        text.replace("fpt1-", "FPT1-").replace('-', "").replace("FPT1", "FPT1-"),
        text.replace('-', " ").replace("fpt1 ", "fpt1-"),
        format!("  {}\n", text.as_str()),
    ] {
        assert_eq!(EnrolmentToken::parse(&written).unwrap(), token, "{written}");
    }
    let token = self::token(0x08);
    let text = token.text();
    let (prefix, digits) = text.split_at(5);
    assert!(digits.contains('0') && digits.contains('1'));
    for one in ['I', 'i', 'L', 'l'] {
        let written = prefix.to_owned() + &digits.replace('0', "o").replace('1', &one.to_string());
        assert_eq!(EnrolmentToken::parse(&written).unwrap(), token, "{written}");
    }
}

#[test]
fn every_mistyped_character_is_told_without_the_token() {
    let text = self::token(0x5a).text();
    let characters: Vec<char> = text.chars().collect();
    for at in 0..characters.len() {
        for other in ['7', 'Q', 'U', '!', 'ä', '\u{202e}'] {
            let mut mistyped = characters.clone();
            if mistyped[at] == other || (mistyped[at] == '-' && other == ' ') {
                continue;
            }
            mistyped[at] = other;
            let mistyped: String = mistyped.into_iter().collect();
            let error = EnrolmentToken::parse(&mistyped).expect_err(&mistyped);
            assert_eq!(error.code(), Code::TokenUnreadable);
            assert!(!error.to_string().contains("D5MP"), "{error}");
        }
    }
    let long = text.to_string() + "0";
    for bad in ["", "fpt1", "fpt1-", "fpt2-B9D5", &text[..text.len() - 1], &long, &"fpt1-".repeat(1000), "fpté-"] {
        assert_eq!(EnrolmentToken::parse(bad).unwrap_err().code(), Code::TokenUnreadable, "{bad}");
    }
}

#[test]
fn a_proof_holds_for_its_claim_and_no_other() {
    let (mine, gateway, request) = (name("pc7.branch.example"), name("gw1.branch.example"), b"request".as_slice());
    let claim = EnrolmentClaim { group: "CORP", name: &mine, role: Role::Agent, gateway: Some(&gateway), request };
    let token = token(7);
    let (key, proof) = (token.public_key().unwrap(), token.prove(claim).unwrap());
    assert_eq!(EnrolmentToken::verify_proof(&key, claim, &proof).unwrap(), token.hash().unwrap());
    let other = name("pc8.branch.example");
    let others = [
        EnrolmentClaim { group: "CORQ", ..claim },
        EnrolmentClaim { name: &other, ..claim },
        EnrolmentClaim { role: Role::Gateway, ..claim },
        EnrolmentClaim { gateway: None, ..claim },
        EnrolmentClaim { gateway: Some(&other), ..claim },
        EnrolmentClaim { request: b"another", ..claim },
    ];
    for claim in others {
        let error = EnrolmentToken::verify_proof(&key, claim, &proof).unwrap_err();
        assert_eq!(error.code(), Code::TokenProofInvalid, "{claim:?}");
    }
    for bit in 0..proof.len() * 8 {
        let mut forged = proof;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(EnrolmentToken::verify_proof(&key, claim, &forged).is_err(), "bit {bit}");
    }
    let stranger = self::token(8).public_key().unwrap();
    assert!(EnrolmentToken::verify_proof(&stranger, claim, &proof).is_err());
    assert!(EnrolmentToken::verify_proof(b"short", claim, &proof).is_err());
}

#[test]
fn the_bytes_of_a_proof_never_change() {
    let (mine, gateway) = (name("pc7"), name("gw1"));
    let claim =
        EnrolmentClaim { group: "CORP", name: &mine, role: Role::Agent, gateway: Some(&gateway), request: b"csr" };
    let expected = b"farpost enrolment 1\0\0\0\0\x04CORP\0\0\0\x03pc7\0\0\0\x01\x01\0\0\0\x03gw1\0\0\0\x03csr";
    assert_eq!(claim.to_be_signed(), expected);
    assert_eq!(format!("{:?}", token(7).hash().unwrap()), GOLDEN_HASH);
}

const GOLDEN_HASH: &str = "fe812c12f3ab4ce6ac5db69ac352f906cb1b11ef43fb33e252ef7ff552263889";

#[test]
fn a_token_shows_nothing_in_debug() {
    assert_eq!(format!("{:?}", token(7)), "EnrolmentToken");
}
