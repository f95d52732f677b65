//! `farpost --server M --identity DIR cert renew`: an operator's next certificate, over its link.

use clap::Args;
use farpost::{Code, RenewalOutcome};

use crate::afar;
use crate::cert::KeyWord;
use crate::failure::Failure;
use crate::group::wait;

/// The arguments of `cert renew`.
#[derive(Args)]
pub(crate) struct RenewArguments {
    /// What key to make; one that waits already is used as it is [default: of the present one's kind]
    #[arg(long, value_enum)]
    key_type: Option<KeyWord>,
    /// Print what was installed as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &RenewArguments) -> Result<(), Failure> {
    let Some((connection, before)) = afar::connection()? else {
        return Err(Failure::new(Code::Usage, "cert renew")
            .found("no --server")
            .expected("farpost --server M --identity DIR cert renew, for an operator")
            .remedy("agents, gateways and management servers renew their certificates by themselves"));
    };
    wait(async {
        let identity = match connection.renew_certificate(arguments.key_type.map(KeyWord::kind)).await? {
            RenewalOutcome::Installed(identity) => identity,
            RenewalOutcome::Pending { retry_after } => {
                return Err(Failure::new(Code::RenewalPending, "cert renew")
                    .found(format!("the present certificate is good until {before}"))
                    .remedy(format!("run the same command again, in {retry_after:?} or later")));
            }
            _ => return Err(Failure::new(Code::Internal, "renewal")),
        };
        let until = identity.not_after();
        if arguments.json {
            println!("{}", serde_json::json!({ "name": identity.name().as_str(), "until": until.to_string() }));
        } else {
            println!(
                "{} has a certificate until {until}, with a new key; the one before ended {before}",
                identity.name()
            );
        }
        Ok(())
    })
}
