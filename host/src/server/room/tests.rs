use std::time::Duration;

use tokio::time::timeout;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

fn peer(last: u8) -> Peer {
    Peer::from(std::net::IpAddr::from([192, 0, 2, last]))
}

/// Whether there is room at once.
async fn grows(memory: &mut Memory, bytes: usize) -> bool {
    timeout(SHORT, memory.grow(bytes)).await.is_ok()
}

/// Bodies of one connection each, until there is room for no more.
async fn fill(room: &Arc<Room>, peer: Peer, stranger: bool, bytes: usize) -> Vec<Memory> {
    let mut held = Vec::new();
    loop {
        let mut memory = room.allowance(peer).memory(stranger);
        if !grows(&mut memory, bytes).await {
            return held;
        }
        held.push(memory);
    }
}

#[tokio::test]
async fn bytes_are_charged_however_they_come() {
    let room = Room::new();
    let mut memory = room.allowance(peer(1)).memory(true);
    for bytes in 1..=65_536 {
        memory.grow(bytes).await.unwrap();
    }
    assert_eq!(room.bodies.blocks.available_permits(), usize::try_from(BODIES).unwrap() - 64);
    assert_eq!(room.strangers.blocks.available_permits(), usize::try_from(BODIES_OF_STRANGERS).unwrap() - 64);
    drop(memory);
    assert_eq!(room.bodies.blocks.available_permits(), usize::try_from(BODIES).unwrap());
}

#[tokio::test]
async fn a_connection_a_peer_and_strangers_have_a_share_each() {
    const MIB: usize = 1 << 20;
    let room = Room::new();
    let connection = room.allowance(peer(1));
    let mut whole = connection.memory(false);
    assert!(grows(&mut whole, MIB).await);
    let mut more = connection.memory(false);
    assert!(!grows(&mut more, 1).await, "a connection has 1 MiB");
    drop((whole, more));

    let of_one = fill(&room, peer(1), false, MIB).await;
    assert_eq!(of_one.len(), 8, "a peer has 8 MiB");
    let of_another = fill(&room, peer(2), true, MIB).await;
    let of_third = fill(&room, peer(3), true, MIB).await;
    let of_fourth = fill(&room, peer(4), true, MIB).await;
    assert_eq!([of_another.len(), of_third.len(), of_fourth.len()], [8, 8, 0], "strangers have 16 MiB");
    assert!(grows(&mut room.allowance(peer(4)).memory(false), MIB).await, "whoever shows something is served beside them");
    drop(of_another);
    assert_eq!(fill(&room, peer(4), true, MIB).await.len(), 8);
}

#[tokio::test]
async fn whoever_waits_is_served_when_there_is_room() {
    let room = Room::new();
    let held = fill(&room, peer(1), false, 1 << 20).await;
    let mut waiting = room.allowance(peer(1)).memory(false);
    let waited = tokio::spawn(async move { waiting.grow(1).await.is_ok() });
    tokio::task::yield_now().await;
    assert!(!waited.is_finished());
    drop(held);
    assert!(timeout(LONG, waited).await.unwrap().unwrap());
}

#[tokio::test]
async fn bodies_that_wait_for_each_other_come_to_an_end() {
    // 64 bodies of 64 KiB at once on a connection that has room for 16: all of them begin, and none could end.
    let room = Room::new();
    let connection = room.allowance(peer(1));
    let bodies: Vec<_> = (0..64).map(|_| connection.memory(false)).collect();
    let reading = bodies.into_iter().map(|mut memory| {
        tokio::spawn(async move {
            for kibibyte in 1..=64 {
                memory.grow(kibibyte * 1024).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    for one in reading.collect::<Vec<_>>() {
        timeout(LONG, one).await.unwrap().unwrap();
    }
    assert_eq!(connection.bodies.blocks.available_permits(), usize::try_from(BODIES_OF_CONNECTION).unwrap());
}

#[tokio::test]
async fn requests_of_one_peer_leave_room_for_others() {
    let room = Room::new();
    let (one, another) = (room.allowance(peer(1)), room.allowance(peer(2)));
    let mut admitted = Vec::new();
    while let Ok(request) = one.admit() {
        admitted.push(request);
    }
    assert_eq!(admitted.len(), usize::try_from(REQUESTS_OF_PEER).unwrap());
    assert!(another.admit().is_ok());
    assert!(timeout(SHORT, room.emptied()).await.is_err());
    drop(admitted);
    assert!(timeout(LONG, room.emptied()).await.is_ok());
}

#[tokio::test]
async fn whoever_hangs_up_and_comes_again_has_what_is_left() {
    let room = Room::new();
    let held = fill(&room, peer(1), false, 1 << 20).await;
    assert!(!grows(&mut room.allowance(peer(1)).memory(false), 1).await);
    assert_eq!(room.peers().len(), 1);
    drop(held);
    assert!(room.peers().is_empty(), "and nothing is kept of whoever has gone");
}
