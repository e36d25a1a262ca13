//! Whom ECS is asked about, and whom together.

use mesh_protocol::ConnId;

use crate::identity::{EcsAnswers, EcsFacts, EcsQuestion, EcsRefusal, EcsSubject, Requirement};

/// About whom ECS is asked, and what.
#[derive(Debug, Clone)]
pub(crate) struct EcsInquiry {
    pub(crate) subject: EcsSubject,
    pub(crate) requirement: Requirement,
}

impl EcsInquiry {
    /// What the answers say of it.
    pub(crate) fn verify(&self, answers: &EcsAnswers) -> Result<EcsFacts, EcsRefusal> {
        self.subject.verify(self.requirement, answers)
    }
}

/// A question, and the agents that it is about.
pub(crate) type Batch = (Vec<ConnId>, EcsQuestion);

/// The questions that together are about all of these.
pub(crate) fn batches(asked: &[(ConnId, EcsInquiry)]) -> Vec<Batch> {
    let subjects: Vec<_> =
        asked.iter().map(|(_, asked)| (&asked.subject, asked.requirement)).collect();
    let questions = EcsQuestion::batches(&subjects).into_iter();
    let batches = questions.map(|question| {
        let about = asked.iter().filter(|(_, asked)| question.is_about(&asked.subject));
        (about.map(|(conn, _)| *conn).collect(), question)
    });
    batches.collect()
}

/// The questions about all of these, in two halves. ECS takes a question about all of them or not
/// at all, so one name that it does not take would speak for everybody: halves of halves find
/// out whose it is.
pub(crate) fn halves(asked: &[(ConnId, EcsInquiry)]) -> Vec<Batch> {
    let (one, other) = asked.split_at(asked.len() / 2);
    batches(one).into_iter().chain(batches(other)).collect()
}
