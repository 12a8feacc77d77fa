//! Requests in frames that no library of HTTP/2 writes.

use bytes::{BufMut as _, BytesMut};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::odd::{GRPC, LOCK, framed, is_locked};
use crate::requests::Names;
use crate::support::{lock_request, soon};
use crate::tls::{HELLO, Stream};
use crate::world::World;

/// A header without compression (RFC 7541 section 6.2.2).
fn literal(block: &mut BytesMut, name: &str, value: &str) {
    block.put_u8(0);
    for text in [name, value] {
        // A length of more than 126 goes on in the next bytes (section 5.1).
        let length = text.len();
        if length < 127 {
            block.put_u8(u8::try_from(length).unwrap());
        } else {
            block.put_u8(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.put_u8(u8::try_from(rest % 128 + 128).unwrap());
                rest /= 128;
            }
            block.put_u8(u8::try_from(rest).unwrap());
        }
        block.put_slice(text.as_bytes());
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of stream 1 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_uint(payload.len() as u64, 3);
    frame.put_u8(kind);
    frame.put_u8(flags);
    frame.put_u32(1);
    frame.put_slice(payload);
    frame
}

/// Whether the request is over: answered, reset, or the connection with it.
async fn is_over(stream: &mut Stream) -> bool {
    let mut head = [0; 9];
    if stream.read_exact(&mut head).await.is_err() {
        return true;
    }
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    if stream.read_exact(&mut payload).await.is_err() {
        return true;
    }
    let (kind, flags, of) = (head[3], head[4], head[8]);
    let ends = of == 1 && [DATA, HEADERS].contains(&kind) && flags & END_STREAM != 0;
    ends || kind == GOAWAY || (of == 1 && kind == RST_STREAM)
}

type Header = (&'static str, &'static str);

/// How a request is sent: which frames, of which headers.
struct Odd {
    what: String,
    frames: Vec<BytesMut>,
    gets_in: bool,
}

fn headers_of(headers: &[(&str, &str)]) -> BytesMut {
    let mut block = BytesMut::new();
    for (name, value) in headers {
        literal(&mut block, name, value);
    }
    block
}

fn odd(what: &str, headers: &[(&str, &str)], body: &[u8]) -> Odd {
    Odd {
        what: what.to_owned(),
        frames: vec![
            frame(HEADERS, END_HEADERS, &headers_of(headers)),
            frame(DATA, END_STREAM, body),
        ],
        gets_in: false,
    }
}

/// How a bearer can be said that is none.
fn bad_bearers<'a>(bearer: &'a str, token: &'a str) -> Vec<(&'static str, String)> {
    vec![
        ("Authorization", bearer.to_owned()),
        ("AUTHORIZATION", bearer.to_owned()),
        ("authorization:", bearer.to_owned()),
        ("authorization\0", bearer.to_owned()),
        (" authorization", bearer.to_owned()),
        (":authorization", bearer.to_owned()),
        ("authorization", format!(" {bearer}")),
        ("authorization", format!("{bearer}\0")),
        ("authorization", format!("{bearer}\nx: y")),
        ("authorization", format!("Bearer\t{token}")),
        ("authorization", token.to_owned()),
    ]
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
const POST: Header = (":method", "POST");
const HTTPS: Header = (":scheme", "https");
const AUTHORITY: Header = (":authority", "credd.test");
const PATH: Header = (":path", LOCK);
const TRAILERS: Header = ("te", "trailers");
const TYPE: Header = ("content-type", GRPC);

/// Headers of a request without a bearer, each out of order.
const BAD_HEADERS: [(&str, &[Header]); 9] = [
    (
        "two paths",
        &[
            POST,
            HTTPS,
            AUTHORITY,
            (":path", CHECK),
            PATH,
            TRAILERS,
            TYPE,
        ],
    ),
    (
        "two paths, the other first",
        &[
            POST,
            HTTPS,
            AUTHORITY,
            PATH,
            (":path", CHECK),
            TRAILERS,
            TYPE,
        ],
    ),
    (
        "a path after other headers",
        &[POST, HTTPS, AUTHORITY, TRAILERS, TYPE, PATH],
    ),
    (
        "an absolute path",
        &[
            POST,
            HTTPS,
            AUTHORITY,
            (
                ":path",
                "https://credd.test/credd.v1.CredentialService/Lock",
            ),
            TRAILERS,
            TYPE,
        ],
    ),
    ("no path", &[POST, HTTPS, AUTHORITY, TRAILERS, TYPE]),
    (
        "an empty path",
        &[POST, HTTPS, AUTHORITY, (":path", ""), TRAILERS, TYPE],
    ),
    (
        "a status",
        &[
            POST,
            HTTPS,
            AUTHORITY,
            PATH,
            (":status", "200"),
            TRAILERS,
            TYPE,
        ],
    ),
    (
        "an extended CONNECT",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            HTTPS,
            AUTHORITY,
            PATH,
            TRAILERS,
            TYPE,
        ],
    ),
    (
        "a user",
        &[
            POST,
            HTTPS,
            (":authority", "admin@credd.test"),
            PATH,
            TRAILERS,
            TYPE,
        ],
    ),
];

/// Odd requests that would lock a credential if they got in, and some that do.
fn oddities(bearer: &str, body: &[u8]) -> Vec<Odd> {
    let unknown = [POST, HTTPS, AUTHORITY, PATH, TRAILERS, TYPE];
    let known = [&unknown[..], &[("authorization", bearer)]].concat();
    let (scheme, token) = bearer.split_once(' ').unwrap();
    let bad = bad_bearers(bearer, token).into_iter();
    let mut all: Vec<_> = bad
        .map(|(name, value)| {
            let headers = [&unknown[..], &[(name, value.as_str())]].concat();
            odd(&format!("{name:?} {value:.12?}"), &headers, body)
        })
        .collect();
    let parts = [("authorization", scheme), ("authorization", token)];
    all.push(odd("in two parts", &[&unknown[..], &parts].concat(), body));
    let bad = BAD_HEADERS.iter();
    all.extend(bad.map(|(what, headers)| odd(what, headers, body)));
    all.push(Odd {
        what: "a bearer among the trailers".to_owned(),
        frames: vec![
            frame(HEADERS, END_HEADERS, &headers_of(&unknown)),
            frame(DATA, 0, body),
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                &headers_of(&[("authorization", bearer)]),
            ),
        ],
        gets_in: false,
    });
    // So that it shows that the others could.
    let block = headers_of(&known);
    let (one, other) = block.split_at(block.len() - 20);
    all.push(Odd {
        what: "headers in two frames".to_owned(),
        frames: vec![
            frame(HEADERS, 0, one),
            frame(CONTINUATION, END_HEADERS, other),
            frame(DATA, END_STREAM, body),
        ],
        gets_in: true,
    });
    all.push(Odd {
        gets_in: true,
        ..odd("nothing odd", &known, body)
    });
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_odd_frames_let_somebody_in() {
    let world = World::start().await;
    let bearer = format!("Bearer {}", world.server.token);
    let count = oddities(&bearer, &[]).len();
    for n in 0..count {
        let Names { credential, .. } = world.names("acme").await;
        let body = framed(&lock_request(&credential).encode_to_vec(), false);
        let Odd {
            what,
            frames,
            gets_in,
        } = oddities(&bearer, &body).swap_remove(n);
        let knocker = world.pki.knocker(None);
        let mut stream = knocker.shake_hands(world.server.address).await.unwrap();
        let mut bytes = BytesMut::from(HELLO);
        for frame in frames {
            bytes.extend_from_slice(&frame);
        }
        stream.write_all(&bytes).await.unwrap();
        soon(&what, async { while !is_over(&mut stream).await {} }).await;
        assert_eq!(is_locked(&world, &credential).await, gets_in, "{what}");
    }
    world.stop().await;
}
