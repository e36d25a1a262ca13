//! Agents that leave before they are decided about.

use mesh_protocol::control::RefusalCode;
use mesh_protocol::link::Goodbye;
use mesh_protocol::ws::close;
use mesh_protocol::{Closing, ConnId, Connection, Context};

use super::{Phase, Refusal};
use crate::application::{Application, Step};
use crate::audit;
use crate::ingress::{Conn, Ingress};

impl Ingress {
    /// The agent goes before it is decided about: its choice, and no refusal. But one that says goodbye when
    /// it is asked who it is has no proof for this ingress, and comes again and again. Should that be all of
    /// them, nothing else would tell.
    pub(super) fn leave_unregistered(
        &mut self,
        conn: ConnId,
        goodbye: Option<Goodbye>,
        cx: &mut Context<'_>,
    ) {
        let Some(Connection { io, state: Conn::Registration(registration) }) =
            self.conns.get_mut(conn)
        else {
            return;
        };
        io.close(Closing::AfterFlush);
        let peer = registration.peer;
        // An agent that looks for more ingresses leaves one that it knows like this, for ever.
        match &registration.phase {
            Phase::Greeting => {
                log::debug!("the agent from {peer} left before it introduced itself");
            }
            Phase::Applying(Application { step: Step::Challenged { .. }, applicant }) => {
                let left = "left before it was registered, asked for a proof of identity";
                match goodbye {
                    Some(goodbye) => {
                        let why = format!("it {left}: {goodbye}");
                        let refusal = Refusal::new(RefusalCode::Unauthenticated, why);
                        audit::refused(peer, Some(&applicant.hello), None, &refusal);
                        self.metrics.refused(refusal.code);
                    }
                    None => log::info!("the agent from {peer} {left}"),
                }
            }
            Phase::Applying(_) => {
                log::info!("the agent from {peer} left before it was registered");
            }
            Phase::Over => return,
        }
        registration.phase = Phase::Over;
        registration.link.close(close::NORMAL, "");
        registration.link.transmit_control(&mut io.tx, cx.rng);
        self.end_registration(conn);
    }
}
