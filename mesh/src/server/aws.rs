//! Asks AWS about agents, on the helper threads of the ingress: STS who signed a proof, and ECS
//! what runs where. The only part of the server that knows AWS is more than an answer.

use std::time::SystemTime;

use mesh_aws::{Chain, Ecs, EcsFailure, Endpoint, Environment, SignedRequest, Sts, StsFailure};
use mesh_ingress::identity::{EcsAnswers, EcsQuestion, EcsRequest, StsRequest, check_date, proof};
use mesh_ingress::jobs::{Answer, Failure, Job, StsIdentity};

/// ECS's word for a cluster that it does not know.
const NO_CLUSTER: &str = "ClusterNotFoundException";

/// Whom to ask, and with which credentials.
#[derive(Debug)]
pub(crate) struct Aws {
    environment: Environment,
    sts: Sts,
    /// Where to send what is for STS, instead of to the host it is signed for.
    sts_endpoint: Option<String>,
    ecs_endpoint: Option<String>,
    /// The credentials of the ingress itself: ECS answers whoever may ask.
    chain: Chain,
}

impl Aws {
    /// Asks the real AWS, or these URLs.
    ///
    /// # Errors
    /// A sentence about a setting of AWS in the environment.
    pub(crate) fn new(
        sts_endpoint: Option<String>,
        ecs_endpoint: Option<String>,
    ) -> Result<Self, String> {
        let environment = Environment::of_process();
        let sts = Sts::new(&environment).map_err(|error| error.to_string())?;
        let chain = Chain::new(&environment).map_err(|error| error.to_string())?;
        Ok(Self { environment, sts, sts_endpoint, ecs_endpoint, chain })
    }

    /// Does a job of the ingress. Blocks for as long as its calls may take: one of STS, or up to 13 of ECS,
    /// of 15 s each, where a hundred tasks are of as many services.
    pub(crate) fn do_job(&self, job: Job) -> Answer {
        match job {
            Job::Identify { conn, request, date } => {
                Answer::Identified { conn, outcome: self.identify(&request, &date) }
            }
            Job::Inspect { conns, question } => {
                Answer::Inspected { conns, outcome: self.describe(&question) }
            }
            Job::Recheck { conns, question } => {
                Answer::Rechecked { conns, outcome: self.describe(&question) }
            }
        }
    }

    fn identify(&self, request: &StsRequest, date: &str) -> Result<StsIdentity, Failure> {
        check_date(date, SystemTime::now(), proof::DATE_WINDOW).map_err(Failure::StaleProof)?;
        let headers: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| *name != "host")
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let signed = SignedRequest { host: &request.host, headers: &headers, body: request.body };
        let identity = self.sts.forward(signed, self.sts_endpoint.as_deref());
        let identity = identity.map_err(|failure| match &failure {
            StsFailure::Refused { .. } => Failure::Refused(failure.to_string()),
            StsFailure::Unreachable(_) | StsFailure::Unexpected(_) | StsFailure::Credentials(_) => {
                Failure::Unreachable(failure.to_string())
            }
        })?;
        Ok(StsIdentity { arn: identity.arn, account: identity.account })
    }

    fn describe(&self, question: &EcsQuestion) -> Result<EcsAnswers, Failure> {
        let ecs = self.ecs(&question.region)?;
        let mut answers = EcsAnswers::default();
        self.ask(&ecs, question.requests(), &mut answers)?;
        let more = question.follow_up(&answers);
        self.ask(&ecs, more, &mut answers)?;
        Ok(answers)
    }

    fn ask(
        &self,
        ecs: &Ecs,
        requests: Vec<EcsRequest>,
        answers: &mut EcsAnswers,
    ) -> Result<(), Failure> {
        for EcsRequest { operation, body } in requests {
            match ecs.call(&self.chain, operation.as_str(), &body, SystemTime::now()) {
                Ok(answer) => answers.add(operation, answer).map_err(Failure::Unreachable)?,
                // An answer as well: the agent named a cluster that is not there, and nothing is
                // wrong with us or with ECS.
                Err(EcsFailure::Refused { code, .. }) if code == NO_CLUSTER => {}
                Err(other) => return Err(failure(other)),
            }
        }
        Ok(())
    }

    fn ecs(&self, region: &str) -> Result<Ecs, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Unreachable(error.to_string());
        let named = mesh_aws::Region::parse(region)
            .ok_or_else(|| wrong(&format!("{region:?} is no region of AWS")))?;
        let endpoint = Endpoint::ecs(&self.environment, &named, self.ecs_endpoint.as_deref())
            .map_err(|error| wrong(&error))?;
        Ecs::new(&self.environment, endpoint).map_err(|error| wrong(&error))
    }
}

fn failure(failure: EcsFailure) -> Failure {
    let sentence = failure.to_string();
    match failure {
        EcsFailure::Denied { .. } => Failure::Refused(sentence),
        EcsFailure::Refused { .. } => Failure::Invalid(sentence),
        EcsFailure::Unreachable(_) | EcsFailure::Credentials(_) | EcsFailure::Unexpected(_) => {
            Failure::Unreachable(sentence)
        }
    }
}

#[cfg(test)]
mod tests;
