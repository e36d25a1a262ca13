//! The whole system in one process and without a clock: the very applications that the binaries
//! run, between scripted callers and services, on links that chop, delay, stall and cut.
//!
//! One seed is one history. A failing one prints its seed; `SIM_SEED=.. cargo test -p mesh --test
//! simulation NAME` plays it again. `SIM_SEEDS=5000` sweeps further.
//!
//! | file | what it is |
//! | --- | --- |
//! | `stage` | an ingress, its agents, their services and the callers, and how a history ends |
//! | `watch` | what is checked after each turn of anybody |
//! | `cloud` | AWS, scripted |
//! | `ask` | a request together with the only right answer to it |
//! | the others | histories, by what is tried |

mod addresses;
mod answers;
mod ask;
mod chaos;
mod cheats;
mod cloud;
mod cores;
mod cuts;
mod deadlines;
mod ecs;
mod fairness;
mod far;
mod fleet;
mod floods;
mod hosts;
mod identity;
mod late;
mod lives;
mod manners;
mod mixed;
mod narrow;
mod pages;
mod puppet;
mod retries;
mod rules;
mod services;
mod stage;
mod tokens;
mod upgrades;
mod watch;
mod wear;
mod workers;
