//! The turn over the scripted kernel: the order of its steps, and what each leaves to the next.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test is to fail the test"
)]

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use epicycle_reactor::kernel::scripted::{Call, ScriptedWaiter};
use epicycle_reactor::{
    Interest, Kernel, Nanos, Parking, Readiness, Ready, Registry, ScriptedKernel, SystemKernel,
    Token, Turn, Wait,
};

type Loop = Turn<ScriptedKernel, &'static str, &'static str>;

fn new_loop() -> (ScriptedKernel, Loop) {
    let kernel = ScriptedKernel::new();
    (kernel.clone(), Turn::new(kernel).unwrap())
}

/// Each event queues its source's name.
fn name_of(
    registry: &mut Registry<&'static str>,
    ready: &mut Ready<&'static str>,
    token: Token,
    _: Readiness,
) {
    ready.push(registry.get(token).unwrap());
}

fn parked(turn: &mut Loop) -> Parking<ScriptedWaiter> {
    let now = turn.kernel.now();
    turn.park(now, false)
}

/// A turn that says what it ran; items that begin with `!` are dead.
fn run(turn: &mut Loop) -> Vec<&'static str> {
    let is_dead = |item: &&str| item.starts_with('!');
    let mut dead = Vec::new();
    turn.prune(is_dead, &mut dead);
    let mut parking = parked(turn);
    let now = turn.kernel.now();
    parking.wait(now).unwrap();
    turn.collect(parking, name_of);
    let now = turn.kernel.now();
    turn.expire(now, is_dead, &mut dead);
    assert!(dead.iter().all(is_dead));
    let batch = turn.begin_batch();
    let mut ran = Vec::new();
    while let Some(item) = turn.next() {
        if item == "again" {
            turn.ready.push("next turn");
        }
        ran.push(item);
    }
    assert_eq!(ran.len(), batch);
    turn.end_turn();
    ran
}

#[test]
fn ready_work_runs_before_arrivals_events_and_timers_in_that_order() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    turn.watch(socket.as_raw_fd(), "event", Interest::READ)
        .unwrap();
    kernel.at(Nanos::ZERO, socket.as_raw_fd(), Readiness::READABLE);
    turn.schedule(Nanos::ZERO, "timer");
    turn.inbox.push("arrival").unwrap();
    turn.ready.push("ready");
    assert_eq!(run(&mut turn), ["ready", "arrival", "event", "timer"]);
}

#[test]
fn what_a_batch_queues_runs_in_the_next_one() {
    let (_, mut turn) = new_loop();
    turn.ready.push("again");
    turn.ready.push("same turn");
    assert_eq!(run(&mut turn), ["again", "same turn"]);
    assert_eq!(run(&mut turn), ["next turn"]);
}

#[test]
fn the_loop_sleeps_until_whatever_comes_first() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    turn.watch(socket.as_raw_fd(), "event", Interest::READ)
        .unwrap();
    turn.schedule(Nanos(100), "timer");
    kernel.at(Nanos(40), socket.as_raw_fd(), Readiness::READABLE);
    assert_eq!((run(&mut turn), kernel.now()), (vec!["event"], Nanos(40)));
    assert_eq!((run(&mut turn), kernel.now()), (vec!["timer"], Nanos(100)));
    kernel.at(Nanos(500), socket.as_raw_fd(), Readiness::READABLE);
    assert_eq!((run(&mut turn), kernel.now()), (vec!["event"], Nanos(500)));
    let waits: Vec<_> = kernel
        .take_calls()
        .into_iter()
        .filter(|call| matches!(call, Call::Wait(_)))
        .collect();
    let expected = [
        Wait::Until(Nanos(100)),
        Wait::Until(Nanos(100)),
        Wait::Forever,
    ];
    assert_eq!(waits, expected.map(Call::Wait));
    assert_eq!(turn.counters.parks.get(), 3);
}

#[test]
fn there_is_no_sleep_while_there_is_work_or_the_loop_stops() {
    let (kernel, mut turn) = new_loop();
    let polls = |turn: &mut Loop, stopping| {
        let now = turn.kernel.now();
        let parking = turn.park(now, stopping);
        let will_block = parking.will_block();
        assert_eq!(will_block, parking.wait_for() != Wait::Poll);
        turn.collect(parking, name_of);
        !will_block
    };
    assert!(!polls(&mut turn, false));
    assert!(polls(&mut turn, true), "stopping");
    turn.inbox.push("arrival").unwrap();
    assert!(polls(&mut turn, false), "something has arrived");
    assert!(polls(&mut turn, false), "and is ready now");
    assert_eq!(turn.ready.drain_all(), ["arrival"]);
    assert!(!turn.inbox.request_wake(), "the loop is awake");
    assert!(polls(&mut turn, false), "but goes round once more");
    assert!(!polls(&mut turn, false));
    turn.schedule(Nanos(5), "timer");
    kernel.advance(Nanos(5));
    assert!(polls(&mut turn, false), "a timer is due");
}

#[test]
fn a_timer_that_never_comes_is_no_deadline() {
    let (_, mut turn) = new_loop();
    turn.schedule(Nanos::from_secs_f64(f64::INFINITY), "never");
    assert_eq!(parked(&mut turn).wait_for(), Wait::Forever);
}

#[test]
fn cancelled_timers_neither_run_nor_wake() {
    let (kernel, mut turn) = new_loop();
    for (deadline, item) in [
        (10, "!first"),
        (20, "second"),
        (20, "!third"),
        (30, "fourth"),
    ] {
        turn.schedule(Nanos(deadline), item);
    }
    assert!(!turn.cancelled() && !turn.cancelled());
    assert_eq!((run(&mut turn), kernel.now()), (vec!["second"], Nanos(20)));
    assert_eq!((run(&mut turn), kernel.now()), (vec!["fourth"], Nanos(30)));
    let counters = &turn.counters;
    assert_eq!(
        (
            counters.timers_scheduled.get(),
            counters.timers_cancelled.get(),
            counters.timers_fired.get()
        ),
        (4, 2, 2)
    );
    assert!(turn.timers.is_empty() && turn.timers.dead() == 0);
}

#[test]
fn an_arrival_while_parked_wakes_the_loop() {
    let (kernel, mut turn) = new_loop();
    let remote = turn.remote();
    turn.schedule(Nanos(1_000), "timer");
    let mut parking = parked(&mut turn);
    remote.send("arrival").unwrap();
    remote.clone().send("another").unwrap();
    parking.wait(Nanos::ZERO).unwrap();
    turn.collect(parking, name_of);
    assert_eq!(kernel.now(), Nanos::ZERO, "it did not sleep on");
    assert_eq!(turn.ready.drain_all(), ["arrival", "another"]);
    assert_eq!(turn.counters.wakes.get(), 1);

    let mut parking = parked(&mut turn);
    remote.wake();
    parking.wait(Nanos::ZERO).unwrap();
    turn.collect(parking, name_of);
    assert_eq!((kernel.now(), turn.counters.wakes.get()), (Nanos::ZERO, 2));
    turn.inbox.close();
    assert_eq!(remote.send("late"), Err("late"));
}

#[test]
fn late_events_reach_nobody() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    let old = turn
        .watch(socket.as_raw_fd(), "old", Interest::READ)
        .unwrap();
    assert_eq!(turn.unwatch(old), Some("old"));
    let new = turn
        .watch(socket.as_raw_fd(), "new", Interest::READ)
        .unwrap();
    assert_eq!(new.slot(), old.slot());
    kernel.late_event(Nanos::ZERO, old, Readiness::READABLE);
    kernel.at(Nanos::ZERO, socket.as_raw_fd(), Readiness::READABLE);
    assert_eq!(run(&mut turn), ["new"]);
    assert_eq!(
        (turn.counters.events.get(), turn.counters.stale_events.get()),
        (1, 1)
    );
    assert_eq!(turn.unwatch(old), None);
}

#[test]
fn a_source_that_an_earlier_event_took_away_hears_nothing() {
    let (kernel, mut turn) = new_loop();
    let (one, other) = (kernel.socket().unwrap(), kernel.socket().unwrap());
    turn.watch(one.as_raw_fd(), "one", Interest::READ).unwrap();
    let victim = turn
        .watch(other.as_raw_fd(), "other", Interest::READ)
        .unwrap();
    kernel.at(Nanos::ZERO, one.as_raw_fd(), Readiness::READABLE);
    kernel.at(Nanos::ZERO, other.as_raw_fd(), Readiness::READABLE);
    let mut parking = parked(&mut turn);
    parking.wait(Nanos::ZERO).unwrap();
    turn.collect(parking, |registry, ready, token, _| {
        ready.push(registry.get(token).unwrap());
        registry.remove(victim);
    });
    assert_eq!(turn.ready.drain_all(), ["one"]);
    assert_eq!(turn.counters.stale_events.get(), 1);
}

#[test]
fn events_are_masked_by_interest() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    let token = turn
        .watch(socket.as_raw_fd(), "socket", Interest::READ)
        .unwrap();
    let mut seen = Vec::new();
    let cases = [
        (Interest::READ, Readiness::HANGUP, Readiness::READABLE),
        (Interest::WRITE, Readiness::ERROR, Readiness::WRITABLE),
        (Interest::BOTH, Readiness::READABLE, Readiness::READABLE),
        (
            Interest::BOTH,
            Readiness::HANGUP,
            Readiness::READABLE.with(Readiness::WRITABLE),
        ),
    ];
    for (interest, reported, _) in cases {
        turn.set_interest(token, interest).unwrap();
        kernel.late_event(Nanos::ZERO, token, reported);
        let mut parking = parked(&mut turn);
        parking.wait(Nanos::ZERO).unwrap();
        turn.collect(parking, |_, _, _, readiness| seen.push(readiness));
    }
    assert_eq!(seen, cases.map(|(.., dispatched)| dispatched));
}

#[test]
fn the_kernel_is_asked_only_when_an_interest_changes() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    let fd = socket.as_raw_fd();
    let token = turn.watch(fd, "socket", Interest::NONE).unwrap();
    assert_eq!(kernel.take_calls(), []);
    for interest in [
        Interest::READ,
        Interest::READ,
        Interest::BOTH,
        Interest::BOTH,
        Interest::NONE,
        Interest::NONE,
    ] {
        turn.set_interest(token, interest).unwrap();
        assert_eq!(
            kernel.watched(fd),
            Some(interest).filter(|interest| !interest.is_empty())
        );
    }
    let expected = [
        Call::Register(fd, Interest::READ),
        Call::Modify(fd, Interest::BOTH),
        Call::Deregister(fd),
    ];
    assert_eq!(kernel.take_calls(), expected);
    assert_eq!(turn.unwatch(token), Some("socket"));
    assert_eq!(kernel.take_calls(), [], "it was not watched any more");
    assert_eq!(
        turn.set_interest(token, Interest::READ).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_source_of_one_report_is_watched_again_with_one_call() {
    let (kernel, mut turn) = new_loop();
    let changes = || {
        let mut calls = kernel.take_calls();
        calls.retain(|call| !matches!(call, Call::Wait(_)));
        calls
    };
    let socket = kernel.socket().unwrap();
    let fd = socket.as_raw_fd();
    let once = Interest::READ.with(Interest::ONCE);
    let token = turn.watch(fd, "first", once).unwrap();
    kernel.at(Nanos::ZERO, fd, Readiness::READABLE);
    assert_eq!(run(&mut turn), ["first"]);
    // It was not for this one: the kernel is asked again.
    kernel.at(Nanos::ZERO, fd, Readiness::READABLE);
    assert!(run(&mut turn).is_empty());
    turn.ask_again(token).unwrap();
    kernel.at(Nanos::ZERO, fd, Readiness::READABLE);
    assert_eq!(run(&mut turn), ["first"]);
    assert_eq!(turn.rest(token), Some("first"));
    assert!(turn.registry.is_empty());
    turn.ask_again(token).unwrap();

    let token = turn.watch(fd, "second", Interest::READ).unwrap();
    let expected = [
        Call::Register(fd, once),
        Call::Modify(fd, once),
        Call::Modify(fd, Interest::READ),
    ];
    assert_eq!(changes(), expected);
    turn.ask_again(token).unwrap();
    assert_eq!(turn.unwatch(token), Some("second"));
    let token = turn.watch(fd, "third", once).unwrap();
    assert_eq!(turn.unwatch(token), Some("third"));
    let expected = [
        Call::Deregister(fd),
        Call::Register(fd, once),
        Call::Deregister(fd),
    ];
    assert_eq!(changes(), expected);
}

#[test]
fn a_refusal_of_the_kernel_changes_nothing() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    let fd = socket.as_raw_fd();
    kernel.refuse_registration(libc::EPERM);
    let (error, source) = turn.try_watch(fd, "file", Interest::READ).unwrap_err();
    assert_eq!((error.raw_os_error(), source), (Some(libc::EPERM), "file"));
    assert!(turn.registry.is_empty() && turn.registry.token_of(fd).is_none());

    let token = turn.watch(fd, "socket", Interest::READ).unwrap();
    kernel.refuse_registration(libc::ENOMEM);
    let error = turn.set_interest(token, Interest::BOTH).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert_eq!(turn.registry.interest(token), Some(Interest::READ));
}

#[test]
fn an_older_source_does_not_touch_the_number_of_a_newer_one() {
    let (kernel, mut turn) = new_loop();
    let socket = kernel.socket().unwrap();
    let fd = socket.as_raw_fd();
    let old = turn.watch(fd, "old", Interest::READ).unwrap();
    let new = turn.watch(fd, "new", Interest::READ).unwrap();
    assert_eq!(
        turn.set_interest(old, Interest::NONE).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(turn.unwatch(old), Some("old"));
    assert_eq!(kernel.watched(fd), Some(Interest::READ));
    kernel.at(Nanos::ZERO, fd, Readiness::READABLE);
    assert_eq!(run(&mut turn), ["new"]);
    assert_eq!(turn.unwatch(new), Some("new"));
    assert_eq!(kernel.watched(fd), None);
}

#[test]
fn a_wait_that_fails_leaves_the_loop_usable() {
    let (kernel, mut turn) = new_loop();
    turn.schedule(Nanos(50), "timer");
    kernel.interrupt_at(Nanos(10));
    kernel.fail_wait_at(Nanos(20), libc::ENOMEM);
    let mut failures = Vec::new();
    for _ in 0..2 {
        let mut parking = parked(&mut turn);
        failures.push(parking.wait(kernel.now()).unwrap_err().kind());
        turn.collect(parking, name_of);
    }
    assert_eq!(failures, [ErrorKind::Interrupted, ErrorKind::OutOfMemory]);
    assert_eq!((run(&mut turn), kernel.now()), (vec!["timer"], Nanos(50)));
}

#[test]
fn a_parking_that_is_lost_costs_only_its_events() {
    let (_, mut turn) = new_loop();
    turn.schedule(Nanos(50), "timer");
    drop(parked(&mut turn));
    assert_eq!(run(&mut turn), ["timer"]);
}

#[test]
fn a_batch_that_is_left_early_goes_on_in_the_next_turn() {
    let (_, mut turn) = new_loop();
    ["one", "two", "three"]
        .into_iter()
        .for_each(|item| turn.ready.push(item));
    assert_eq!(turn.begin_batch(), 3);
    assert_eq!(turn.next(), Some("one"));
    turn.end_turn();
    assert_eq!(turn.next(), None);
    assert_eq!(run(&mut turn), ["two", "three"]);
    assert_eq!(
        (turn.counters.turns.get(), turn.counters.callbacks.get()),
        (2, 3)
    );
}

#[test]
fn the_kernel_is_left_alone_when_it_has_nothing_to_say() {
    let (kernel, mut turn) = new_loop();
    turn.ready.push("work");
    assert_eq!(run(&mut turn), ["work"]);
    assert_eq!(
        kernel.take_calls(),
        [],
        "nothing is watched, and there is work"
    );
    let socket = kernel.socket().unwrap();
    turn.watch(socket.as_raw_fd(), "event", Interest::READ)
        .unwrap();
    turn.ready.push("work");
    kernel.take_calls();
    assert_eq!(run(&mut turn), ["work"]);
    assert_eq!(kernel.take_calls(), [Call::Wait(Wait::Poll)]);
}

#[test]
fn a_hushed_source_is_asked_for_when_it_says_so_or_something_else_is_watched() {
    let (kernel, mut turn) = new_loop();
    let [hushed, other] = [(); 2].map(|()| kernel.socket().unwrap());
    let token = turn
        .watch(hushed.as_raw_fd(), "hushed", Interest::READ)
        .unwrap();
    assert!(!turn.is_hushed(token));
    turn.hush(token);
    assert!(turn.is_hushed(token));
    let asked = |turn: &mut Loop| {
        turn.ready.push("work");
        kernel.take_calls();
        assert_eq!(run(turn), ["work"]);
        !kernel.take_calls().is_empty()
    };
    assert!(asked(&mut turn), "there may have been news before");
    assert!(!asked(&mut turn));
    turn.want_poll();
    assert!(asked(&mut turn));
    assert!(!asked(&mut turn));
    turn.watch(other.as_raw_fd(), "other", Interest::READ)
        .unwrap();
    assert!(asked(&mut turn));
}

#[test]
fn a_whole_turn_survives_signals_and_runs_what_is_due() {
    let (kernel, mut turn) = new_loop();
    kernel.interrupt_at(Nanos(1));
    turn.schedule(Nanos(2), "timer");
    let mut ran = Vec::new();
    while ran.is_empty() {
        turn.run_turn(false, name_of, |_, item| ran.push(item))
            .unwrap();
    }
    assert_eq!(
        (ran, kernel.now(), turn.counters.turns.get()),
        (vec!["timer"], Nanos(2), 2)
    );
    let error = turn.run_turn(false, name_of, |_, _| ()).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::TimedOut,
        "nothing will ever happen"
    );
}

#[test]
fn nothing_that_is_taken_out_is_dropped_inside() {
    let mut turn: Turn<ScriptedKernel, Arc<()>, Arc<()>> =
        Turn::new(ScriptedKernel::new()).unwrap();
    let item = Arc::new(());
    for _ in 0..3 {
        turn.ready.push(Arc::clone(&item));
        turn.schedule(Nanos(1), Arc::clone(&item));
        turn.inbox.push(Arc::clone(&item)).unwrap();
    }
    turn.watch(0, Arc::clone(&item), Interest::NONE).unwrap();
    let mut dead = Vec::new();
    turn.cancelled();
    turn.prune(|_| true, &mut dead);
    let held = (
        dead,
        turn.ready.drain_all(),
        turn.timers.drain_all(),
        turn.inbox.close(),
        turn.registry.drain_all(),
    );
    assert_eq!(Arc::strong_count(&item), 11, "each is still alive");
    assert_eq!((held.0.len(), held.2.len()), (1, 2));
    drop(turn);
    assert_eq!(Arc::strong_count(&item), 11, "the loop held none of them");
}

#[test]
fn the_system_runs_the_same_turns() {
    let mut turn: Turn<SystemKernel, &str, &str> = Turn::new(SystemKernel::new().unwrap()).unwrap();
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let token = turn
        .watch(one.as_raw_fd(), "readable", Interest::READ)
        .unwrap();
    let deadline = turn.kernel.now().saturating_add(Nanos::from_millis(1));
    turn.schedule(deadline, "timer");
    let remote = turn.remote();
    let mut ran = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| remote.send("arrival").unwrap());
        while ran.len() < 2 {
            turn.run_turn(false, name_of, |_, item| ran.push(item))
                .unwrap();
        }
    });
    assert!(turn.kernel.now() >= deadline);
    turn.kernel.send(other.as_raw_fd(), b"x").unwrap();
    turn.run_turn(false, name_of, |_, item| ran.push(item))
        .unwrap();
    ran.sort_unstable();
    assert_eq!(ran, ["arrival", "readable", "timer"]);
    assert_eq!(turn.unwatch(token), Some("readable"));
}
