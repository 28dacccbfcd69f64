//! The kernel in its simulated world: the order of events, two clocks, the life of an order, the queues, and one digest.

#[path = "kernel/world.rs"]
mod world;

#[path = "kernel/chance.rs"]
mod chance;

use cift_sim::desk::{Desk, DeskError, Ticket};
use cift_sim::feed::Schema;
use cift_sim::grid::{Against, Grid, Rules};
use cift_sim::journal::{self, RecordKind};
use cift_sim::kernel::{Halt, KernelError, Wake};
use cift_sim::matching::{FillReason, Refill, TimeInForce};
use cift_sim::order::OrderState;
use cift_sim::script::Replay;
use cift_sim::types::{Lots, Nanos, OrderId, Side, Ticks};
use world::{CASH, INSTRUMENT, Plan, Played, World, at_quotes, buy, market, order_text, sell};

/// A book with one order on each side, and a last row that keeps the run alive until 10,000.
const CALM: &str = "
    100 add bid #1 5@99
    100 add ask #2 5@101
    10000 add bid #9 1@1
";

const FIRST: OrderId = OrderId(1);

// -------------------------------------------------------------------------------------------- time and the total order

#[test]
fn a_row_arrives_after_the_feed_leg_and_an_order_acts_and_answers_after_its_own() {
    let world = World::mbo("100 add ask #1 5@101\n 9000 add bid #2 1@1").latency(11, 7, 5);
    let (played, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            assert_eq!(desk.now, Nanos(111));
            desk.submit(&market(Side::Buy, 2)).unwrap();
        }
    });
    assert_eq!(played.fills(), ["118 #1 buy 2@101 took"]);
    assert_eq!(log, ["123 #1 New, 0 of 2", "123 #1 Filled, 2 of 2"]);
}

#[test]
fn a_received_row_arrives_when_it_was_received_and_never_before_the_one_in_front() {
    let text = "100>130 add bid #1 1@90\n 110>120 add bid #2 1@91\n 105>140 add bid #3 1@92\n 150 add bid #4 1@93";
    let world = World::mbo(text).latency(7, 0, 0);
    let mut arrivals = Vec::new();
    world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        if let Wake::Quote(_) = wake {
            arrivals.push(desk.now.0);
        }
        Ok(())
    }));
    assert_eq!(arrivals, [130, 130, 140, 157]);
}

#[test]
fn a_row_stamped_before_its_predecessor_acts_with_it() {
    // The second row is stamped 50, yet an order that reached the venue at 90 must not meet it.
    let world = World::mbo("80 add bid #1 1@99\n 100 add ask #2 5@101\n 50 add ask #3 5@100\n 200 add bid #4 1@98");
    let (played, _) = at_quotes(&world, |desk, n| {
        if n == 2 {
            assert_eq!(desk.now, Nanos(100));
            desk.submit(&buy(5, 101)).unwrap();
        }
    });
    // Both rows act at 100, before any order of that time.
    assert_eq!(played.fills(), ["100 #1 buy 5@100 took"]);
}

#[test]
fn at_one_time_records_act_first_then_orders_then_answers_then_deliveries_then_timers() {
    let world = World::mbo("50 add bid #1 1@90\n 100 add bid #2 1@91").and(
        1,
        Schema::Mbo,
        "50 add ask #1 9@50\n 100 add ask #2 9@49\n 300 add ask #3 9@60",
    );
    let mut log = Vec::new();
    world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        let what = match wake {
            Wake::Start => {
                desk.set_timer(Nanos(100));
                return Ok(());
            }
            Wake::Quote(0) if desk.now == Nanos(100) => {
                // Instrument 1 has shown 50 so far; its row of this time has acted, and the order will meet it.
                assert_eq!(desk.markets[1].ask, Some((Ticks(50), Lots(9))));
                desk.submit(&Ticket { instrument: 1, ..market(Side::Buy, 1) }).unwrap();
                "quote of 0".to_owned()
            }
            Wake::Quote(at) => format!("quote of {at}"),
            Wake::Fill(fill) => format!("fill at {}", fill.price),
            Wake::Timer(_) => "timer".to_owned(),
            _ => return Ok(()),
        };
        log.push(format!("{} {what}", desk.now));
        Ok(())
    }));
    assert_eq!(
        log,
        ["50 quote of 0", "50 quote of 1", "100 quote of 0", "100 fill at 49", "100 quote of 1", "100 timer"]
    );
}

#[test]
fn commands_of_one_handler_take_effect_in_call_order() {
    let world = World::mbo(CALM).latency(0, 10, 10);
    let (played, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            desk.submit(&buy(3, 98)).unwrap();
            desk.cancel(FIRST).unwrap();
            desk.submit(&buy(4, 98)).unwrap();
        }
    });
    assert_eq!(log[0], "120 #1 PendingCancel, 0 of 3");
    assert_eq!(log[1], "120 #1 Canceled (Requested), 0 of 3");
    assert_eq!(log[2], "120 #2 New, 0 of 4");
    assert!(played.result.is_ok());
}

// ----------------------------------------------------------------------------------------- the rules of an instrument

#[test]
fn at_the_expiry_what_rests_is_cancelled_and_what_arrives_later_is_rejected() {
    let text =
        "100 add ask #1 5@101\n 150 add bid #2 1@90\n 190 add bid #3 1@91\n 200 trade sell 1@95\n 300 add bid #4 1@92";
    let world = World { expiry: Some(200), ..World::mbo(text).latency(0, 20, 5) };
    let mut refused = None;
    let act = |desk: &mut Desk, n: usize| match n {
        1 => assert!(desk.submit(&buy(3, 95)).is_ok()),
        // Sent at 190, it arrives at 210.
        3 => assert!(desk.submit(&buy(2, 101)).is_ok()),
        4 => refused = desk.submit(&buy(1, 95)).err(),
        _ => {}
    };
    let (played, log) = at_quotes(&world, act);
    assert_eq!(played.fills(), Vec::<String>::new());
    assert_eq!(log, ["125 #1 New, 0 of 3", "205 #1 Canceled (Expired), 0 of 3", "215 #2 Rejected (Expired), 0 of 2",]);
    assert_eq!(refused, Some(DeskError::Rule(Against::Expired)));
}

#[test]
fn a_cancel_or_change_that_comes_with_the_expiry_finds_the_order_gone() {
    for change in [true, false] {
        let world = World {
            expiry: Some(200),
            ..World::mbo("100 add ask #1 5@101\n 190 add bid #2 1@90\n 400 add bid #3 1@91")
        };
        let (_, log) = at_quotes(&world.latency(0, 20, 5), |desk, n| match n {
            1 => assert!(desk.submit(&buy(3, 95)).is_ok()),
            2 if change => desk.modify(FIRST, Some(Ticks(96)), None).unwrap(),
            2 => desk.cancel(FIRST).unwrap(),
            _ => {}
        });
        assert_eq!(log, ["125 #1 New, 0 of 3", "215 #1 Canceled (Expired), 0 of 3"]);
    }
}

#[test]
fn an_order_is_held_to_the_grid_and_the_rules_in_force_when_it_is_sent() {
    let world = World::mbo("100 add bid #1 5@99\n 100 add ask #2 5@101\n 500 add bid #3 1@100\n 600 cancel #3 1");
    let mut told = Vec::new();
    at_quotes(&world, |desk, n| {
        let bands = [
            cift_sim::grid::Band { since_ns: 0, from: 0, step: 1 },
            cift_sim::grid::Band { since_ns: 550, from: 0, step: 5 },
        ];
        desk.rules[0] = Rules {
            prices: Grid::banded(&bands).unwrap(),
            min_qty: Lots(2),
            min_value: 150 * INSTRUMENT.unit,
            ..Rules::NONE
        };
        if n == 1 {
            desk.submit(&buy(2, 93)).unwrap();
            assert_eq!(desk.modify(FIRST, None, Some(Lots(1))), Err(DeskError::Rule(Against::TooSmall)));
            assert_eq!(desk.submit(&buy(2, 74)), Err(DeskError::Rule(Against::Value)));
        }
        // At the market, the order is worth what the other side asks.
        told.push((desk.submit(&buy(2, 93)).err(), desk.submit(&market(Side::Sell, 1)).err()));
    });
    let too_small = Some(DeskError::Rule(Against::TooSmall));
    assert_eq!(told, [(None, too_small), (None, too_small), (None, too_small), (Some(DeskError::Price), too_small)]);
}

#[test]
fn timers_ring_in_order_of_time_and_then_of_number_and_not_behind_the_data() {
    let mut rung = Vec::new();
    World::mbo(CALM).play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Start => {
                desk.set_timer(Nanos(5_000));
                desk.set_timer(Nanos(300));
                desk.set_timer(Nanos(5_000));
                desk.set_timer(Nanos(99_999));
            }
            Wake::Timer(timer) => rung.push((desk.now.0, timer)),
            _ => {}
        }
        Ok(())
    }));
    assert_eq!(rung, [(300, 2), (5_000, 1), (5_000, 3)]);
}

#[test]
fn no_timer_rings_once_the_strategy_was_told_that_it_is_over() {
    let world = World::mbo("100 add ask #1 5@101\n 200 add bid #2 1@90").latency(0, 500, 500);
    let mut over = false;
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Start => (300..310).for_each(|at| _ = desk.set_timer(Nanos(at))),
            Wake::Stop => {
                over = true;
                desk.submit(&market(Side::Buy, 1)).unwrap();
            }
            Wake::Timer(_) => assert!(!over),
            _ => {}
        }
        Ok(())
    }));
    assert_eq!(played.fills(), ["700 #1 buy 1@101 took"]);
}

#[test]
fn a_timer_in_the_past_rings_now() {
    let mut rung = Vec::new();
    World::mbo(CALM).play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Quote(_) if desk.now == Nanos(10_000) || rung.is_empty() => {
                desk.set_timer(Nanos(1));
            }
            Wake::Timer(timer) => rung.push((desk.now.0, timer)),
            _ => {}
        }
        Ok(())
    }));
    assert_eq!(rung[0], (100, 1));
}

#[test]
fn the_start_happens_at_the_first_input_so_its_orders_meet_the_market_of_that_time() {
    let world = World::mbo("5000 add ask #1 5@101\n 9000 add bid #2 1@1").latency(10, 20, 30);
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        if matches!(wake, Wake::Start) {
            assert_eq!(desk.now, Nanos(5_010));
            desk.submit(&market(Side::Buy, 2)).unwrap();
        }
        Ok(())
    }));
    assert_eq!(played.fills(), ["5030 #1 buy 2@101 took"]);
    assert_eq!(played.kernel.equity[0].ts, Nanos(5_010));
}

#[test]
fn times_before_1970_are_times() {
    let world = World::mbo("-9000 add ask #1 5@101\n -5000 add ask #2 5@102").latency(10, 20, 30);
    let (played, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            desk.submit(&market(Side::Buy, 2)).unwrap();
        }
    });
    assert_eq!(played.fills(), ["-8970 #1 buy 2@101 took"]);
    assert_eq!(log[0], "-8940 #1 New, 0 of 2");
}

// ------------------------------------------------------------------------------------------------- the life of an order

#[test]
fn an_order_rests_fills_in_parts_and_is_filled() {
    let world = World::mbo(
        "100 add bid #1 5@99
         200 add ask #2 1@105
         300 trade sell 7@99 +
         300 fill bid #1 5@99 +
         300 cancel #1 5
         400 trade sell 4@99
         9999 add bid #9 1@1",
    );
    let (played, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            desk.submit(&buy(6, 99)).unwrap();
        }
    });
    assert_eq!(played.fills(), ["300 #1 buy 2@99 queue, 5 ahead", "400 #1 buy 4@99 queue, 5 ahead"]);
    assert_eq!(log, ["100 #1 New, 0 of 6", "300 #1 PartiallyFilled, 2 of 6", "400 #1 Filled, 6 of 6"]);
}

#[test]
fn a_fill_while_a_cancel_is_on_its_way_stands_and_the_late_refusal_changes_nothing() {
    let world = World::mbo(
        "100 add bid #1 1@98
         200 add ask #2 5@105
         210 trade sell 9@97
         9999 add bid #9 1@1",
    )
    .latency(0, 50, 50);
    let (played, log) = at_quotes(&world, |desk, n| match n {
        1 => _ = desk.submit(&buy(6, 99)).unwrap(),
        2 => {
            desk.cancel(FIRST).unwrap();
            desk.cancel(FIRST).unwrap();
        }
        _ => {}
    });
    assert_eq!(played.fills(), ["210 #1 buy 6@99 swept, 0 ahead"]);
    assert_eq!(log, ["200 #1 New, 0 of 6", "260 #1 Filled, 6 of 6"]);
    assert!(played.result.is_ok());
    assert_eq!(played.kernel.desk.open_net(0), 0);
}

#[test]
fn a_partial_fill_while_a_cancel_is_on_its_way_leaves_the_rest_to_the_cancel() {
    let world = World::mbo(
        "100 add bid #1 1@98
         200 add ask #2 5@105
         210 trade sell 2@97
         9999 add bid #9 1@1",
    )
    .latency(0, 50, 50);
    let (played, log) = at_quotes(&world, |desk, n| match n {
        1 => _ = desk.submit(&buy(6, 99)).unwrap(),
        2 => desk.cancel(FIRST).unwrap(),
        _ => {}
    });
    assert_eq!(log, ["200 #1 New, 0 of 6", "260 #1 PendingCancel, 2 of 6", "300 #1 Canceled (Requested), 2 of 6"]);
    assert_eq!(played.kernel.desk.positions[0].qty, Lots(2));
    assert_eq!(played.kernel.desk.open_net(0), 0);
}

#[test]
fn a_modify_names_the_total_so_what_traded_on_its_way_is_part_of_it() {
    let world = World::mbo(
        "100 add bid #1 1@98
         200 add ask #2 5@105
         210 trade sell 2@97
         300 trade sell 9@97
         9999 add bid #9 1@1",
    )
    .latency(0, 50, 50);
    let (played, log) = at_quotes(&world, |desk, n| match n {
        1 => _ = desk.submit(&buy(6, 99)).unwrap(),
        2 => desk.modify(FIRST, None, Some(Lots(5))).unwrap(),
        _ => {}
    });
    assert_eq!(played.fills(), ["210 #1 buy 2@99 swept, 0 ahead", "300 #1 buy 3@99 swept, 0 ahead"]);
    assert_eq!(log[1..], ["260 #1 PendingReplace, 2 of 6", "300 #1 PartiallyFilled, 2 of 5", "350 #1 Filled, 5 of 5"]);
}

#[test]
fn a_modify_to_no_more_than_has_traded_ends_the_order() {
    for total in [1, 2] {
        let world = World::mbo(
            "100 add bid #1 1@98
             200 add ask #2 5@105
             210 trade sell 2@97
             300 trade sell 9@97
             9999 add bid #9 1@1",
        )
        .latency(0, 50, 50);
        let (played, log) = at_quotes(&world, |desk, n| match n {
            1 => _ = desk.submit(&buy(6, 99)).unwrap(),
            2 => desk.modify(FIRST, None, Some(Lots(total))).unwrap(),
            _ => {}
        });
        assert_eq!(log[2], "300 #1 Canceled (ModifiedAway), 2 of 6");
        assert_eq!(played.fills().len(), 1);
        assert_eq!(played.kernel.desk.open_net(0), 0);
    }
}

#[test]
fn a_second_change_in_flight_keeps_what_the_first_asked_for() {
    let world = World::mbo(CALM).latency(0, 50, 50);
    let (_, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            desk.submit(&buy(6, 95)).unwrap();
            desk.modify(FIRST, None, Some(Lots(20))).unwrap();
            desk.modify(FIRST, Some(Ticks(96)), None).unwrap();
        }
    });
    assert_eq!(log.last().unwrap(), "200 #1 New, 0 of 20");
}

#[test]
fn a_refused_change_is_forgotten_by_the_next() {
    // Post-only at 101 would trade; the next change of size alone keeps the price that the venue knows.
    let world = World::mbo("100 add ask #2 5@101\n 300 add bid #3 1@90\n 9000 add bid #9 1@1").latency(0, 50, 50);
    let (played, log) = at_quotes(&world, |desk, n| match n {
        1 => {
            desk.submit(&Ticket { post_only: true, ..buy(6, 95) }).unwrap();
            desk.modify(FIRST, Some(Ticks(101)), None).unwrap();
        }
        2 => desk.modify(FIRST, None, Some(Lots(4))).unwrap(),
        _ => {}
    });
    assert_eq!(log.last().unwrap(), "400 #1 New, 0 of 4");
    assert_eq!(played.kernel.desk.open_order(FIRST).unwrap().limit, Some(Ticks(95)));
}

#[test]
fn what_the_venue_refuses_is_rejected_and_opens_nothing() {
    let world = World::mbo(CALM).latency(0, 50, 50);
    let (played, log) = at_quotes(&world, |desk, n| {
        if n == 1 {
            desk.submit(&Ticket { post_only: true, ..buy(6, 101) }).unwrap();
            desk.cancel(FIRST).unwrap();
        }
    });
    assert_eq!(log, ["200 #1 Rejected (WouldTrade), 0 of 6"]);
    assert_eq!(played.kernel.desk.open_net(0), 0);
    assert_eq!(played.kernel.desk.open_orders().count(), 0);
}

#[test]
fn orders_that_do_not_rest_end_as_they_say() {
    let (played, _) = at_quotes(&World::mbo(CALM), |desk, n| {
        if n == 1 {
            desk.submit(&Ticket { tif: TimeInForce::Fok, ..buy(6, 101) }).unwrap();
            desk.submit(&Ticket { tif: TimeInForce::Ioc, ..buy(6, 101) }).unwrap();
            desk.submit(&market(Side::Buy, 3)).unwrap();
        }
    });
    assert_eq!(
        played.closed(),
        ["#1 Canceled (FillOrKill), 0 of 6", "#2 Canceled (Immediate), 5 of 6", "#3 Canceled (NoLiquidity), 0 of 3"]
    );
}

#[test]
fn a_verb_that_cannot_be_is_refused_on_the_spot() {
    let (played, _) = at_quotes(&World::mbo(CALM), |desk, n| {
        if n != 1 {
            return;
        }
        assert_eq!(desk.submit(&buy(0, 99)), Err(DeskError::Size));
        assert_eq!(desk.submit(&buy(1, i64::MAX)), Err(DeskError::Price));
        assert_eq!(desk.submit(&Ticket { post_only: true, ..market(Side::Buy, 1) }), Err(DeskError::PostOnly));
        assert_eq!(desk.cancel(OrderId(77)), Err(DeskError::UnknownOrder));
        assert_eq!(desk.modify(OrderId(77), None, None), Err(DeskError::UnknownOrder));
        let id = desk.submit(&buy(1, 99)).unwrap();
        desk.cancel(id).unwrap();
        assert_eq!(desk.modify(id, None, Some(Lots(2))), Err(DeskError::BeingCancelled));
        let id = desk.submit(&market(Side::Buy, 1)).unwrap();
        assert_eq!(desk.modify(id, None, Some(Lots(2))), Err(DeskError::Price));
    });
    assert!(played.result.is_ok());
}

// ------------------------------------------------------------------------------------------------------ target and close

#[test]
fn a_second_target_in_flight_sends_nothing() {
    let world = World::mbo(CALM).latency(0, 50, 50);
    let (played, _) = at_quotes(&world, |desk, n| {
        if n == 1 {
            assert_eq!(desk.target(0, Lots(4), None), Ok(Some(FIRST)));
            assert_eq!(desk.target(0, Lots(4), None), Ok(None));
            assert_eq!(desk.target(0, Lots(3), None), Ok(Some(OrderId(2))));
        }
    });
    assert_eq!(played.fills(), ["150 #1 buy 4@101 took", "150 #2 sell 1@99 took"]);
    assert_eq!(played.kernel.desk.positions[0].qty, Lots(3));
}

#[test]
fn a_target_counts_an_order_whose_cancel_lost_the_race() {
    // The cancel is late: 6 were bought. A target sent meanwhile counted them as open, and nothing is bought twice.
    let world = World::mbo(
        "100 add bid #1 1@98
         200 add ask #2 50@105
         210 trade sell 9@97
         500 add bid #3 1@97
         600 add bid #4 1@99
         9999 add bid #9 1@1",
    )
    .latency(0, 50, 50);
    let (played, _) = at_quotes(&world, |desk, n| match n {
        1 => _ = desk.submit(&buy(6, 99)).unwrap(),
        2 => {
            desk.cancel(FIRST).unwrap();
            assert_eq!(desk.target(0, Lots(6), None), Ok(None));
        }
        3 => assert_eq!(desk.target(0, Lots(6), None), Ok(None)),
        _ => {}
    });
    assert_eq!(played.kernel.desk.positions[0].qty, Lots(6));
}

#[test]
fn a_second_close_in_flight_sends_nothing() {
    let world = World::mbo("100 add bid #1 50@99\n 100 add ask #2 50@101\n 200 add bid #3 1@100\n 9999 add bid #9 1@1")
        .latency(0, 20, 20);
    let (played, _) = at_quotes(&world, |desk, n| match n {
        1 => _ = desk.submit(&market(Side::Buy, 4)).unwrap(),
        3 => {
            let resting = desk.submit(&buy(7, 90)).unwrap();
            assert_eq!(desk.close(0, None), Ok(Some(OrderId(3))));
            assert_eq!(desk.close(0, None), Ok(None));
            assert_eq!(desk.open_order(resting).unwrap().state, OrderState::PendingCancel);
        }
        _ => {}
    });
    assert_eq!(played.kernel.desk.positions[0].qty, Lots(0));
}

// ------------------------------------------------------------------------------------------------------- the L3 venue

#[test]
fn a_fill_says_how_it_came_about_and_what_stood_ahead() {
    let world = World::mbo(
        "100 add bid #1 5@99
         200 add ask #2 5@101
         300 add ask #3 2@100
         400 trade sell 3@98 +
         400 fill bid #9 3@98
         500 add bid #4 1@97
         600 add ask #5 4@99
         9999 add bid #9 1@1",
    );
    let (played, _) = at_quotes(&world, |desk, n| {
        if n == 2 {
            desk.submit(&buy(3, 99)).unwrap();
            desk.submit(&market(Side::Buy, 1)).unwrap();
        }
    });
    // The recorded ask that comes to 99 crosses ours, and rests all the same.
    assert_eq!(played.fills(), ["200 #2 buy 1@101 took", "600 #1 buy 3@99 crossed, 5 ahead"]);
    assert_eq!(played.venues[0].engine().book().best(Side::Sell), Some((Ticks(99), Lots(4))));
    assert_eq!(played.venues[0].engine().taken_of(OrderId(5)), Lots(3));
}

#[test]
fn an_execution_fills_ours_only_when_the_queue_ahead_is_gone() {
    let world = World::mbo(
        "100 add bid #1 5@99
         200 add ask #2 5@101
         300 add bid #3 4@99
         400 trade sell 2@99 +
         400 fill bid #1 2@99 +
         400 cancel #1 2
         500 cancel #1 3
         600 trade sell 1@99 +
         600 fill bid #3 1@99 +
         600 cancel #3 1
         9999 add bid #9 1@1",
    );
    let (played, _) = at_quotes(&world, |desk, n| {
        if n == 2 {
            desk.submit(&buy(2, 99)).unwrap();
        }
    });
    // #1 trades and leaves; the execution of #3, which came later, must have passed ours first.
    assert_eq!(played.fills(), ["600 #1 buy 1@99 queue, 5 ahead"]);
}

#[test]
fn a_displayed_lot_fills_us_once() {
    let world = World::mbo(
        "100 add ask #1 5@101\n 200 add bid #2 1@90\n 300 add bid #3 1@91\n 400 add ask #4 2@101\n 500 add bid #5 1@92",
    );
    let send = |desk: &mut Desk, _: usize| _ = desk.submit(&market(Side::Buy, 4)).unwrap();
    let (played, _) = at_quotes(&world, send);
    assert_eq!(
        played.fills(),
        ["100 #1 buy 4@101 took", "200 #2 buy 1@101 took", "400 #4 buy 2@101 took"],
        "5 and then 2 lots are shown, and no more can be had"
    );
    let refilled = World { refill: Refill::NextEvent, ..world };
    let (played, _) = at_quotes(&refilled, send);
    let bought: i64 = played.kernel.fills.iter().map(|fill| fill.qty.0).sum();
    assert_eq!(bought, 4 * 5, "with refill every event shows the lots again");
}

#[test]
fn a_hidden_print_fills_better_prices_and_its_own_only_without_a_queue() {
    for (print, filled) in
        [("trade sell 9@98", 3), ("trade sell 2@99", 0), ("trade buy 2@99", 0), ("trade none 2@98", 2)]
    {
        let world =
            World::mbo(&format!("100 add bid #1 5@99\n 200 add ask #2 5@101\n 300 {print}\n 9999 add bid #9 1@1"));
        let (played, _) = at_quotes(&world, |desk, n| {
            if n == 2 {
                desk.submit(&buy(3, 99)).unwrap();
            }
        });
        assert_eq!(played.kernel.desk.positions[0].qty, Lots(filled), "{print}");
    }
}

#[test]
fn a_print_trades_with_ours_on_one_side_only_and_at_most_by_its_size() {
    for took in ["buy", "sell", "none"] {
        let world = World::mbo(&format!(
            "100 add bid #1 5@90\n 200 add ask #2 5@110\n 300 trade {took} 4@100\n 9999 add bid #9 1@1"
        ));
        let (played, _) = at_quotes(&world, |desk, n| {
            if n == 2 {
                desk.submit(&buy(3, 100)).unwrap();
                desk.submit(&sell(3, 101)).unwrap();
                desk.submit(&sell(9, 102)).unwrap();
            }
        });
        let expected: &[&str] = if took == "buy" { &[] } else { &["300 #1 buy 3@100 queue, 0 ahead"] };
        assert_eq!(played.fills(), expected, "{took}");
    }
}

#[test]
fn the_strategy_sees_the_record_without_its_own_orders() {
    let world = World::mbo(CALM);
    world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Quote(_) if desk.now == Nanos(100) && desk.markets[0].ask.is_some() => {
                desk.submit(&buy(3, 100)).unwrap();
                desk.submit(&market(Side::Buy, 5)).unwrap();
            }
            Wake::Order(_) | Wake::Stop => {
                let market = &desk.markets[0];
                assert_eq!(market.bid, Some((Ticks(99), Lots(5))));
                assert_eq!(market.ask, Some((Ticks(101), Lots(5))), "what we took is still shown");
                assert!(market.last.is_none(), "our own trade is not a print of the market");
                assert!(market.book().unwrap().orders(Side::Buy).all(|order| order.price != Ticks(100)));
            }
            _ => {}
        }
        Ok(())
    }));
}

#[test]
fn orders_in_flight_still_act_after_the_end_of_the_data() {
    let world = World::mbo("100 add ask #1 5@101\n 200 add bid #2 1@90").latency(0, 1_000, 1_000);
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        match wake {
            Wake::Quote(_) if desk.now == Nanos(200) => _ = desk.submit(&market(Side::Buy, 2)).unwrap(),
            Wake::Stop => _ = desk.submit(&market(Side::Buy, 1)).unwrap(),
            _ => {}
        }
        Ok(())
    }));
    assert_eq!(played.fills(), ["1200 #1 buy 2@101 took", "3200 #2 buy 1@101 took"]);
}

// ------------------------------------------------------------------------------------------------------- the L1 venue

/// Quotes at 99 and 101, an order of ours sent at the first, and what follows.
fn on_quotes(text: &str, trades: &str, ticket: Ticket) -> Played {
    at_quotes(&World::quotes(text).and_trades(trades), |desk, n| {
        if n == 1 {
            desk.submit(&ticket).unwrap();
        }
    })
    .0
}

#[test]
fn growth_goes_behind_ours_and_prints_take_from_the_front() {
    let quotes = "100 quote 5@99 7@101\n 200 quote 20@99 7@101\n 900 quote 3@99 7@101";
    let played = on_quotes(quotes, "300 trade sell 4@99\n 400 trade sell 2@99\n 500 trade sell 1@99", buy(3, 99));
    assert_eq!(played.fills(), ["400 #1 buy 1@99 queue, 5 ahead", "500 #1 buy 1@99 queue, 5 ahead"]);
}

#[test]
fn shrinkage_is_taken_from_behind_first() {
    // 5 ahead, 15 behind; 12 leave: all from behind. The 5 ahead must still trade before ours.
    let quotes = "100 quote 5@99 7@101\n 200 quote 20@99 7@101\n 250 quote 8@99 7@101\n 900 quote 3@99 7@101";
    let played = on_quotes(quotes, "300 trade sell 5@99\n 400 trade sell 1@99", buy(3, 99));
    assert_eq!(played.fills(), ["400 #1 buy 1@99 queue, 5 ahead"]);
}

#[test]
fn an_order_at_a_level_not_displayed_stands_behind_all_that_it_first_shows() {
    let quotes = "100 quote 5@99 7@101\n 200 quote 8@97 7@101\n 900 quote 3@97 7@101";
    let played = on_quotes(quotes, "300 trade sell 8@97\n 400 trade sell 1@97", buy(3, 97));
    assert_eq!(played.kernel.fills.len(), 1);
    assert_eq!(played.kernel.fills[0].ts, Nanos(400));
}

#[test]
fn a_quote_through_ours_fills_it_up_to_its_size() {
    let quotes = "100 quote 5@99 7@101\n 200 quote 5@96 2@98\n 300 quote 5@96 4@98\n 900 quote 3@96 7@101";
    let played = on_quotes(quotes, "", buy(9, 100));
    assert_eq!(played.fills()[0], "200 #1 buy 2@100 crossed, 0 ahead");
    let total: i64 = played.kernel.fills.iter().map(|fill| fill.qty.0).sum();
    assert!(total <= 4, "4 lots were shown at most: {:?}", played.fills());
}

#[test]
fn a_print_through_ours_sweeps_it_on_either_side() {
    let quotes = "100 quote 5@99 7@101\n 900 quote 3@99 7@101";
    assert_eq!(on_quotes(quotes, "300 trade sell 2@98", buy(3, 99)).fills(), ["300 #1 buy 2@99 swept, 5 ahead"]);
    assert_eq!(on_quotes(quotes, "300 trade buy 2@102", sell(3, 101)).fills(), ["300 #1 sell 2@101 swept, 7 ahead"]);
    assert!(on_quotes(quotes, "300 trade buy 2@98", buy(3, 99)).fills().is_empty());
}

// ------------------------------------------------------------------------------------------------------- the L2 venue

#[test]
fn a_record_of_levels_shows_its_depth_and_fills_through_it() {
    let text = "100 set bid 5@99 +\n100 set bid 8@98 +\n100 set ask 3@101 +\n100 set ask 6@102\n 900 set ask 0@101";
    let (mut events, mut seen) = (0, Vec::new());
    let played =
        World::levels(text).and_trades("500 trade sell 6@99").play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
            if let Wake::Book(_) = wake {
                events += 1;
                let view = &desk.markets[0];
                seen.push((view.depth(Side::Buy, 9).len(), view.ask));
                if events == 1 {
                    desk.submit(&market(Side::Buy, 5)).unwrap();
                    desk.submit(&buy(2, 98)).unwrap();
                    desk.submit(&buy(4, 99)).unwrap();
                }
            }
            Ok(())
        }));
    // The rows of one event are seen together.
    assert_eq!(seen, [(2, Some((Ticks(101), Lots(3)))), (2, Some((Ticks(102), Lots(6))))]);
    let fills = ["100 #1 buy 3@101 took", "100 #1 buy 2@102 took", "500 #3 buy 1@99 queue, 5 ahead"];
    assert_eq!(played.fills(), fills);
}

#[test]
fn quotes_beside_levels_are_not_the_venues() {
    let levels = World::levels("100 set bid 5@99 +\n100 set ask 3@101\n 900 set bid 5@98");
    let world = levels.and(0, Schema::Quotes, "200 quote 9@90 9@95");
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        if matches!(wake, Wake::Quote(_)) && desk.now == Nanos(100) {
            desk.submit(&buy(4, 100)).unwrap();
        }
        Ok(())
    }));
    assert!(played.fills().is_empty(), "an ask of the quotes at 95 fills nobody: {:?}", played.fills());
}

// ------------------------------------------------------------------------------------------------------------- journal

/// Fast market maker, so that a short run has every kind of command.
fn busy(desk: &mut Desk, wake: &Wake<'_>) {
    match wake {
        Wake::Start => _ = desk.set_timer(Nanos(150)),
        Wake::Quote(_) => {
            desk.submit(&buy(2, 99)).unwrap();
            let open: Vec<OrderId> = desk.open_orders().map(|order| order.id).collect();
            if let [first, .., last] = open[..] {
                // What is being cancelled cannot be changed, and says so.
                let _refused_once_cancelled = desk.modify(first, Some(Ticks(98)), Some(Lots(5)));
                desk.cancel(last).unwrap();
            }
        }
        Wake::Fill(fill) if fill.side == Side::Buy => _ = desk.submit(&market(Side::Sell, fill.qty.0)).unwrap(),
        Wake::Timer(_) => _ = desk.set_timer(Nanos(desk.now.0 + 100)),
        Wake::Stop => _ = desk.target(0, Lots(0), None).unwrap(),
        _ => {}
    }
}

fn busy_world() -> World {
    World::mbo(
        "100 add bid #1 5@97
         100 add ask #2 5@101
         200 add bid #3 1@98
         300 trade sell 9@97 +
         300 fill bid #3 1@98 +
         300 cancel #3 1
         400 add bid #4 6@98
         500 add ask #5 6@99
         600 clear
         700 add bid #6 4@96
         9999 add ask #9 1@120",
    )
    .latency(3, 20, 10)
}

#[test]
fn a_journal_repeats_its_run() {
    let world = busy_world();
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        busy(desk, &wake);
        Ok(())
    }));
    assert!(played.result.is_ok() && !played.kernel.fills.is_empty());
    let records = journal::read(played.journal()).unwrap();
    for kind in [
        RecordKind::Rows,
        RecordKind::Answer,
        RecordKind::Timer,
        RecordKind::Command,
        RecordKind::Fill,
        RecordKind::End,
    ] {
        assert!(records.iter().any(|record| record.kind == kind), "{kind:?}");
    }
    let mut replay = Replay::new(journal::commands(&records).unwrap());
    let again = world.play(&mut replay);
    assert!(again.result.is_ok(), "{:?}", again.result);
    assert_eq!(replay.left(), 0);
    assert_eq!(again.digest(), played.digest());
    assert_eq!(again.journal(), played.journal());
}

#[test]
fn a_replay_of_other_data_is_stopped_with_a_sentence() {
    let played = busy_world().play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| {
        busy(desk, &wake);
        Ok(())
    }));
    let mut commands = journal::commands(&journal::read(played.journal()).unwrap()).unwrap();
    let first = commands.iter().position(|(_, command)| command.order == OrderId(1)).unwrap();
    commands.remove(first);
    let again = busy_world().play(&mut Replay::new(commands));
    assert!(matches!(again.result, Err(KernelError::Halted(_))));
}

#[test]
fn a_strategy_that_raises_keeps_what_was_recorded_and_sends_nothing_more() {
    let world = World::mbo("100 add bid #1 5@99\n 100 add ask #2 5@101\n 200 add bid #3 1@100");
    let mut quotes = 0;
    let played = world.play(&mut Plan(|desk: &mut Desk, wake: Wake<'_>| match wake {
        Wake::Quote(_) => {
            quotes += 1;
            desk.submit(&market(Side::Buy, 1)).unwrap();
            if quotes == 3 {
                desk.cancel(OrderId(3)).unwrap();
                return Err(Halt("division by zero".to_owned()));
            }
            Ok(())
        }
        _ => Ok(()),
    }));
    assert_eq!(played.result, Err(KernelError::Halted(Halt("division by zero".to_owned()))));
    assert_eq!(played.closed(), ["#1 Filled, 1 of 1", "#2 Filled, 1 of 1"]);
    assert_eq!(
        played.kernel.desk.open_orders().map(order_text).collect::<Vec<_>>(),
        [""; 0],
        "an order that never left is none"
    );
    assert_eq!(played.kernel.desk.open_net(0), 0);
    let records = journal::read(played.journal()).unwrap();
    let error = records.iter().find(|record| record.kind == RecordKind::HandlerError).unwrap();
    assert_eq!(error.payload, b"division by zero");
    assert_eq!(records.iter().filter(|record| record.kind == RecordKind::Command).count(), 2);
}

#[test]
fn fees_and_prices_reach_the_account_to_the_last_unit() {
    let mut world = World::mbo(CALM);
    world.fees = cift_sim::fees::Fees { maker_rate: -3, taker_rate: 7, ..Default::default() };
    let (played, _) = at_quotes(&world, |desk, n| {
        if n == 2 {
            desk.submit(&market(Side::Buy, 2)).unwrap();
        }
    });
    let value = 202 * INSTRUMENT.unit;
    let fee = value * 7 / 1_000_000_000_000;
    let fill = &played.kernel.fills[0];
    assert_eq!((fill.fee.0, fill.reason), (fee, FillReason::Took));
    assert_eq!(fill.cash.0, CASH.0 - value - fee);
}

// ---------------------------------------------------------------------------------------------------------------- laws

/// What holds at every wake, whatever the strategy does.
fn check_the_books(desk: &Desk) {
    let mut value = 0;
    for (at, (position, market)) in desk.positions.iter().zip(&desk.markets).enumerate() {
        let open: i64 = desk
            .open_orders()
            .filter(|order| order.instrument as usize == at)
            .map(|order| order.side.sign() * order.open().0)
            .sum();
        assert_eq!(desk.open_net(at as u16), open, "signed open size of instrument {at}");
        value += match market.mark_half_ticks() {
            Some(mark) => i128::from(position.qty.0) * i128::from(mark) * INSTRUMENT.unit,
            None => 2 * position.cost.0,
        };
        if let Some(book) = market.book() {
            let recorded = |side| book.orders(side).all(|order| order.family == cift_sim::types::Family::Record);
            assert!(recorded(Side::Buy) && recorded(Side::Sell), "the view shows an order of ours");
        }
    }
    assert_eq!(desk.equity().unwrap(), 2 * desk.cash[0].0 + value, "equity is cash and position x mark");
    for order in desk.open_orders() {
        assert!(!order.state.is_closed() && order.filled < order.qty, "{}", order_text(order));
    }
}

/// Plays the senseless strategy of a seed, and checks every law that a run must keep.
fn play_by_chance(world: &World, seed: u64, rows: impl FnMut(usize) -> usize) -> Played {
    let mut chance = chance::Chance::new(seed);
    let mut seen = Vec::new();
    let mut bought = [0; 3];
    let mut strategy = Plan(|desk: &mut Desk, wake: Wake<'_>| {
        check_the_books(desk);
        let before: Vec<OrderId> = desk.open_orders().map(|order| order.id).collect();
        match wake {
            Wake::Trade(at) => {
                seen.push((at, cift_sim::simulation::Observation::Print(desk.markets[at as usize].last.unwrap())))
            }
            Wake::Quote(at) => {
                let market = &desk.markets[at as usize];
                seen.push((at, cift_sim::simulation::Observation::Touch(market.bid, market.ask)));
            }
            Wake::Fill(fill) => {
                bought[fill.instrument as usize] += fill.side.sign() * fill.qty.0;
                assert_eq!(bought[fill.instrument as usize], fill.position.0);
                assert_eq!(desk.positions[fill.instrument as usize].qty, fill.position);
                assert_eq!(desk.cash[0], fill.cash);
                let order = desk.open_order(fill.order);
                assert!(
                    order.is_none_or(|order| order.limit.is_none_or(|limit| order.side.accepts(limit, fill.price)))
                );
            }
            Wake::Order(order) => {
                assert_eq!(before.contains(&order.id), !order.state.is_closed(), "{}", order_text(order))
            }
            _ => {}
        }
        chance::act(&mut chance, desk, &wake);
        check_the_books(desk);
        Ok(())
    });
    let played = world.play_in_chunks(&mut strategy, rows);
    assert!(played.result.is_ok(), "{:?}", played.result);
    assert_eq!(played.ahead, seen, "what indicators looked ahead at is what the strategy saw, in the same order");
    let mut cash = CASH.0;
    for fill in &played.kernel.fills {
        cash -= i128::from(fill.side.sign() * fill.qty.0 * fill.price.0) * INSTRUMENT.unit + fill.fee.0;
        assert_eq!(fill.cash.0, cash);
    }
    for order in &played.kernel.closed {
        let filled: i64 = played.kernel.fills.iter().filter(|fill| fill.order == order.id).map(|fill| fill.qty.0).sum();
        assert_eq!(filled, order.filled.0);
        assert!(filled <= order.qty.0);
        let (filled, complete) = (order.filled, order.state == OrderState::Filled);
        assert_eq!(complete, filled == order.qty, "{}", order_text(order));
    }
    played
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 300 }))]

    #[test]
    fn a_run_keeps_the_laws_and_has_one_digest_for_every_chunk_size_and_its_replay(seed in proptest::prelude::any::<u64>()) {
        let world = chance::world(seed);
        let whole = play_by_chance(&world, seed, |_| usize::MAX);
        let mut split = chance::Chance::new(seed ^ 77);
        let mut any = |_| 1 + split.below(13) as usize;
        let sizes: [&mut dyn FnMut(usize) -> usize; 4] = [&mut |_| 1, &mut |_| 7, &mut |_| 1_000, &mut any];
        for rows in sizes {
            let other = play_by_chance(&world, seed, rows);
            assert_eq!(other.digest(), whole.digest());
            assert_eq!(other.journal(), whole.journal(), "not the digest alone: every byte");
        }
        let commands = journal::commands(&journal::read(whole.journal()).unwrap()).unwrap();
        let replayed = world.play(&mut Replay::new(commands));
        assert_eq!(replayed.result, Ok(()));
        assert_eq!(replayed.digest(), whole.digest());
    }

    #[test]
    fn rows_that_wake_nobody_are_taken_together_and_nobody_can_tell(seed in proptest::prelude::any::<u64>()) {
        let mut world = chance::world(seed);
        let mut some = chance::Chance::new(seed ^ 5);
        for source in 0..world.feeds.len() {
            for row in 0..world.feeds[source].lines.len() {
                if some.below(8) == 0 {
                    world.edges.push((source as u16, row as u64, 1));
                }
            }
        }
        let play = |sees_rows: bool, rows: usize| {
            let mut chance = chance::Chance::new(seed ^ 9);
            let mut log = Vec::new();
            let act = |desk: &mut Desk, wake: Wake<'_>| {
                let seen: Vec<_> = desk.markets.iter().map(|market| (market.bid, market.ask, market.last)).collect();
                let count: Vec<_> = desk.markets.iter().map(|market| (market.quote_rows, market.trade_rows)).collect();
                log.push(format!("{} {wake:?} {seen:?} {count:?}", desk.now));
                chance::act(&mut chance, desk, &wake);
            };
            let played = world.play_in_chunks(&mut world::OnEdges { sees_rows, act }, |_| rows);
            (log, played)
        };
        let (log, played) = play(true, usize::MAX);
        for rows in [1, 5, usize::MAX] {
            let (other, blind) = play(false, rows);
            let difference = log.iter().zip(&other).find(|(one, other)| one != other);
            assert_eq!((difference, other.len()), (None, log.len()));
            assert_eq!(blind.journal(), played.journal());
            assert_eq!(blind.kernel.equity, played.kernel.equity);
            assert_eq!(blind.kernel.marks, played.kernel.marks);
        }
    }

    #[test]
    fn a_quiet_venue_catches_up_to_where_it_would_be(seed in proptest::prelude::any::<u64>()) {
        // A strategy that wakes at few times, so that many rows lie between two of its orders.
        let play = |row_by_row: bool, rows: usize| {
            let world = World { row_by_row, ..chance::narrow_quotes(seed) };
            let mut chance = chance::Chance::new(seed ^ 11);
            world.play_in_chunks(&mut world::OnEdges { sees_rows: false, act: |desk: &mut Desk, wake: Wake<'_>| match wake {
                Wake::Start => (0..12).for_each(|_| _ = desk.set_timer(Nanos(desk.now.0 + chance.below(1_300)))),
                Wake::Timer(_) => chance::trade_near(&mut chance, desk),
                _ => {}
            } }, |_| rows)
        };
        let one_by_one = play(true, usize::MAX);
        for rows in [1, 3, 40, usize::MAX] {
            let caught_up = play(false, rows);
            assert_eq!(caught_up.fills(), one_by_one.fills());
            assert_eq!(caught_up.journal(), one_by_one.journal());
        }
    }

    #[test]
    fn what_a_strategy_does_never_changes_what_it_sees(seed in proptest::prelude::any::<u64>()) {
        let world = chance::world(seed);
        let busy = play_by_chance(&world, seed, |_| usize::MAX);
        let idle = world.play(&mut Plan(|_: &mut Desk, _: Wake<'_>| Ok(())));
        assert_eq!(busy.ahead, idle.ahead);
        assert!(idle.kernel.fills.is_empty());
    }
}
