//! What the demo tells: where everything is, what was sent, what came back, what to try.

use super::parts::Addresses;
use super::request::Exchange;

/// The way of a request.
pub(crate) fn path(addresses: &Addresses, host: &str) -> String {
    let Addresses { traffic, tunnels, health: _, service } = addresses;
    let (traffic, tunnels) = (traffic.to_string(), tunnels.to_string());
    format!(
        "\
Anywhere Mesh, all of it in this process:

    caller ----> ingress <==== agent ----> service
           HTTP         tunnel       HTTP

    ingress   {traffic:<17} takes requests, as a load balancer sends them
              {tunnels:<17} takes tunnels, which agents open from the other end
    agent     no port           has registered {host} for the service
    service   {service}

Agent and service can be on any machine that reaches the ingress; nothing has to reach them.

"
    )
}

/// A request and its response.
pub(crate) fn exchange(exchange: &Exchange) -> String {
    let request = marked(&exchange.request, "    > ");
    let head = marked(&exchange.response_head, "    < ");
    let body = marked(exchange.response_body.trim_end(), "    ");
    let took = exchange.took.as_secs_f64() * 1000.0;
    format!(
        "A request to the ingress, and the answer that the service gave:\n\n{request}\n{head}\n\
         {body}\nIt took {took:.1} ms, the connection to the ingress included.\n\n"
    )
}

/// What to do next.
pub(crate) fn hints(addresses: &Addresses, host: &str, path: &str) -> String {
    let Addresses { traffic, tunnels: _, health, service: _ } = addresses;
    format!(
        "\
Try it yourself; the second answers with an event every half second, the third is the ingress:

    curl -H 'Host: {host}' http://{traffic}{path}
    curl -N -H 'Host: {host}' http://{traffic}/stream
    curl http://{health}/health

Ctrl-C ends the demo.
"
    )
}

/// Each line with the mark in front, and an empty line behind them.
fn marked(text: &str, mark: &str) -> String {
    text.lines().flat_map(|line| [mark, line, "\n"]).collect()
}
