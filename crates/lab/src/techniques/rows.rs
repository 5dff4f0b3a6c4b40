//! The table. `docs/techniques.md` has the same rows; a test compares them and looks for every file and function.

use super::Document::{Class, Dma};
use super::{Place, Technique, highest, monolithic, paired, pieces, registers, split_transfer};

const fn at(file: &'static str, function: &'static str) -> Place {
    Place { file, function }
}

/// Every row, in the order of the documents.
pub const TECHNIQUES: &[Technique] = &[
    Technique {
        document: Dma,
        name: "Map registers",
        asks: "How much goes in one operation depends on the number of map registers",
        code: &[
            at("crates/core/src/limits.rs", "normalise"),
            at("drivers/monolithic/src/adapter.rs", "open"),
        ],
        tests: &[
            at(
                "tests/settings.rs",
                "maximum_physical_pages_and_map_registers",
            ),
            at(
                "drivers/monolithic/tests/twelve_pages_five_registers.rs",
                "any_number_of_pages_on_any_number_of_registers",
            ),
        ],
        show: registers::map_registers,
    },
    Technique {
        document: Dma,
        name: "Length",
        asks: "It depends on the bytes in the stack location's `Length`",
        code: &[at("src/shape/class.rs", "read")],
        tests: &[at("tests/every_byte_arrives.rs", "on_every_adapter")],
        show: registers::length,
    },
    Technique {
        document: Dma,
        name: "Page boundaries",
        asks: "It depends on the page boundaries in the buffer",
        code: &[
            at("crates/core/src/page.rs", "span_pages"),
            at("crates/core/src/page.rs", "room_in_pages"),
        ],
        tests: &[at(
            "tests/every_byte_arrives.rs",
            "with_buffers_that_begin_anywhere_the_adapter_allows",
        )],
        show: registers::boundaries,
    },
    Technique {
        document: Dma,
        name: "AT rule",
        asks: "It depends on limits of the device: the AT disk's 256 sectors",
        code: &[
            at("crates/core/src/plan.rs", "next_piece"),
            at("drivers/monolithic/src/limits.rs", "maximum_length"),
        ],
        tests: &[
            at(
                "tests/at_rule.rs",
                "more_than_256_sectors_are_as_many_commands_as_it_takes",
            ),
            at(
                "drivers/monolithic/tests/no_more_than_256_sectors.rs",
                "a_request_of_700_sectors_is_three_operations",
            ),
        ],
        show: registers::at_rule,
    },
    Technique {
        document: Dma,
        name: "Counting registers",
        asks: "MmGetMdlVirtualAddress gives an index, never to be followed; ADDRESS_AND_SIZE_TO_SPAN_PAGES of it and \
               `Length` is the number of registers needed",
        code: &[
            at("crates/wdm/src/mdl.rs", "virtual_address"),
            at("crates/core/src/page.rs", "span_pages"),
        ],
        tests: &[
            at("crates/core/tests/vectors.rs", "page_spans"),
            at(
                "tests/settings.rs",
                "maximum_physical_pages_and_map_registers",
            ),
            at(
                "crates/ntsim/tests/pitfalls/mdls.rs",
                "p17_data_buffer_is_followed",
            ),
        ],
        show: registers::counting,
    },
    Technique {
        document: Dma,
        name: "As many operations as it takes",
        asks: "Pieces that suit the registers; twelve pages and five registers are three operations",
        code: &[
            at("crates/core/src/plan.rs", "new"),
            at("src/split/pump.rs", "pump"),
        ],
        tests: &[
            at(
                "crates/core/tests/limits.rs",
                "twelve_pages_with_five_map_registers",
            ),
            at(
                "tests/paired_port.rs",
                "twelve_pages_and_five_map_registers_are_three_operations",
            ),
        ],
        show: registers::twelve_pages,
    },
    Technique {
        document: Dma,
        name: "MapTransfer",
        asks: "With twelve pages and five registers the driver calls MapTransfer three times",
        code: &[
            at("drivers/monolithic/src/transfer.rs", "map"),
            at("drivers/monolithic/src/transfer.rs", "next_operation"),
            at("drivers/monolithic/src/adapter.rs", "map_transfer"),
        ],
        tests: &[at(
            "drivers/monolithic/tests/twelve_pages_five_registers.rs",
            "twelve_pages_on_five_registers_are_three_operations",
        )],
        show: monolithic::map_transfer,
    },
    Technique {
        document: Dma,
        name: "Portions, locked one by one",
        asks: "IoAllocateMdl for a portion, MmProbeAndLockPages, transfer, MmUnlockPages, and MmPrepareMdlForReuse for \
               the next portion",
        code: &[
            at("drivers/highest/src/stage.rs", "stage"),
            at("drivers/highest/src/lock.rs", "lock"),
            at("crates/wdm/src/mdl.rs", "prepare_for_reuse"),
        ],
        tests: &[
            at(
                "drivers/highest/tests/sequence.rs",
                "one_mdl_for_portions_of_one_size",
            ),
            at(
                "drivers/highest/tests/lock_limit.rs",
                "one_page_is_enough_for_a_mebibyte",
            ),
        ],
        show: highest::portions,
    },
    Technique {
        document: Dma,
        name: "An MDL that is too small",
        asks: "IoFreeMdl and IoAllocateMdl where the MDL has no room for the next portion; in the end both go",
        code: &[at("drivers/highest/src/lock.rs", "describe")],
        tests: &[at(
            "drivers/highest/tests/sequence.rs",
            "an_mdl_that_is_too_small_for_the_next_portion_is_freed",
        )],
        show: highest::larger_mdl,
    },
    Technique {
        document: Dma,
        name: "Synchronous loop",
        asks: "Where the buffer can't be locked as a whole: IoBuildSynchronousFsdRequest for a portion of whole pages, \
               IoCallDriver, and again until all is moved; then the original is completed",
        code: &[
            at("drivers/highest/src/carry/synchronous.rs", "carry"),
            at("drivers/highest/src/portion.rs", "next"),
            at("drivers/highest/src/dispatch.rs", "answer"),
        ],
        tests: &[
            at(
                "drivers/highest/tests/sequence.rs",
                "the_loop_of_synchronous_requests",
            ),
            at("drivers/highest/tests/carriages.rs", "what_goes_down"),
            at(
                "drivers/highest/tests/lock_limit.rs",
                "one_page_is_enough_for_a_mebibyte",
            ),
            at(
                "drivers/highest/tests/every_byte_arrives.rs",
                "random_worlds",
            ),
        ],
        show: highest::loop_of_irps,
    },
    Technique {
        document: Dma,
        name: "Waiting for a portion",
        asks: "KeWaitForSingleObject for the event of the partial-transfer IRP, if lower drivers return STATUS_PENDING",
        code: &[at("drivers/highest/src/carry/synchronous.rs", "carry")],
        tests: &[at(
            "drivers/highest/tests/waits.rs",
            "every_mixture_of_answers",
        )],
        show: highest::waits,
    },
    Technique {
        document: Dma,
        name: "An IRP for each piece",
        asks: "A storage class driver allocates an IRP for each piece, and an IoCompletion routine tracks the whole and \
               frees them",
        code: &[
            at("src/split/piece.rs", "send"),
            at("src/split/completion.rs", "piece_done"),
            at("src/split/pool.rs", "build"),
        ],
        tests: &[
            at(
                "tests/what_a_child_carries.rs",
                "every_piece_in_flight_has_its_own_of_everything",
            ),
            at(
                "tests/nothing_is_allocated.rs",
                "over_thousands_of_requests",
            ),
        ],
        show: pieces::irps,
    },
    Technique {
        document: Dma,
        name: "Registry",
        asks: "The port driver stores its number of map registers in the registry for the paired class driver",
        code: &[at("src/paired/registry.rs", "read")],
        tests: &[at(
            "tests/paired_port_registry.rs",
            "each_value_alone_and_all_together",
        )],
        show: paired::registry,
    },
    Technique {
        document: Dma,
        name: "Private interface",
        asks: "Or the pair has a private interface of internal device control requests for it",
        code: &[
            at("src/paired/listener.rs", "ask"),
            at("crates/core/src/paired.rs", "answer"),
        ],
        tests: &[
            at(
                "tests/paired_port.rs",
                "requests_of_every_size_keep_to_what_is_told",
            ),
            at(
                "tests/paired_port_nonsense.rs",
                "no_nonsense_is_believed_at_start",
            ),
        ],
        show: paired::interface,
    },
    Technique {
        document: Dma,
        name: "A change of the registers",
        asks: "Available means now: other registers are told, and obeyed from the next request on",
        code: &[
            at("src/paired/listener.rs", "heard"),
            at("src/shape/config.rs", "limits"),
        ],
        tests: &[
            at(
                "tests/paired_port.rs",
                "a_change_is_obeyed_by_the_very_next_request",
            ),
            at(
                "tests/paired_port_removal.rs",
                "changes_meet_the_end_of_the_device",
            ),
        ],
        show: paired::change,
    },
    Technique {
        document: Dma,
        name: "Monolithic driver",
        asks: "A driver that is no part of a pair splits for itself: a sequence of DMA operations for one IRP",
        code: &[
            at("drivers/monolithic/src/limits.rs", "new"),
            at("drivers/monolithic/src/transfer.rs", "step"),
        ],
        tests: &[
            at(
                "drivers/monolithic/tests/twelve_pages_five_registers.rs",
                "any_number_of_pages_on_any_number_of_registers",
            ),
            at(
                "drivers/monolithic/tests/every_byte_arrives.rs",
                "one_request_at_a_time_in_any_world",
            ),
        ],
        show: monolithic::any_size,
    },
    Technique {
        document: Dma,
        name: "Registers with pages of their own",
        asks: "A map register can stand for a page that the device can't reach: operations stay the same, data goes \
               through the HAL's page",
        code: &[
            at("drivers/monolithic/src/transfer.rs", "close"),
            at("drivers/monolithic/src/adapter.rs", "flush"),
        ],
        tests: &[at(
            "drivers/monolithic/tests/every_byte_arrives.rs",
            "a_controller_that_reaches_little_gets_its_data_through_the_registers_own_pages",
        )],
        show: monolithic::bounce,
    },
    Technique {
        document: Dma,
        name: "Scatter/gather",
        asks: "A device-specific constraint the other way round: the list of an operation is as long as registers and \
               device allow",
        code: &[
            at("drivers/monolithic/src/transfer.rs", "get_list"),
            at("drivers/monolithic/src/transfer.rs", "list_granted"),
        ],
        tests: &[at(
            "drivers/monolithic/tests/twelve_pages_five_registers.rs",
            "with_scatter_gather_each_piece_has_a_list_of_its_own",
        )],
        show: monolithic::scatter_gather,
    },
    Technique {
        document: Dma,
        name: "Partial-transfer IRPs",
        asks: "A higher-level driver calls MmGetMdlVirtualAddress and IoBuildPartialMdl and sends a sequence of \
               partial-transfer IRPs",
        code: &[
            at("crates/wdm/src/mdl.rs", "show"),
            at("src/shape/relay.rs", "order"),
        ],
        tests: &[at(
            "tests/relay_children.rs",
            "parts_of_the_request_and_nothing_else",
        )],
        show: pieces::partial_irps,
    },
    Technique {
        document: Class,
        name: "Adapter descriptor",
        asks: "`MaximumTransferLength` and `MaximumPhysicalPages` say what the adapter takes, and are kept",
        code: &[
            at("src/start/queries.rs", "adapter"),
            at("src/start/mod.rs", "configure"),
        ],
        tests: &[at("tests/effective_values.rs", "an_honest_adapter")],
        show: split_transfer::descriptor,
    },
    Technique {
        document: Class,
        name: "DispatchReadWrite",
        asks: "It finds out for each IRP whether it asks for more than the adapter handles in one operation",
        code: &[
            at("src/dispatch.rs", "dispatch_read_write"),
            at("src/shape/mod.rs", "read"),
        ],
        tests: &[
            at(
                "tests/relay_children.rs",
                "what_fits_is_the_senders_own_irp",
            ),
            at(
                "tests/relay_children.rs",
                "parts_of_the_request_and_nothing_else",
            ),
        ],
        show: split_transfer::decision,
    },
    Technique {
        document: Class,
        name: "Too long, or too many pages",
        asks: "Either is a reason to split; a piece has one page less than `MaximumPhysicalPages` (here with `PageRule` 1)",
        code: &[
            at("crates/core/src/plan/rules.rs", "fit_whole"),
            at("crates/core/src/plan/rules.rs", "fixed_room"),
        ],
        tests: &[
            at(
                "crates/core/tests/limits.rs",
                "the_three_cases_of_the_document",
            ),
            at("tests/settings.rs", "page_rule_spans_or_the_documents"),
        ],
        show: split_transfer::three_cases,
    },
    Technique {
        document: Class,
        name: "Each page a break",
        asks: "Nobody knows how the buffer will be mapped, so each page counts as a physical break",
        code: &[at("crates/core/src/page.rs", "span_pages")],
        tests: &[at(
            "tests/every_byte_arrives.rs",
            "random_small_worlds_are_split_legally_and_minimally",
        )],
        show: split_transfer::each_page,
    },
    Technique {
        document: Class,
        name: "STATUS_PENDING",
        asks: "IoMarkIrpPending before SplitTransferRequest, STATUS_PENDING right after it",
        code: &[
            at("src/dispatch.rs", "dispatch_read_write"),
            at("src/split/serve.rs", "split_transfer_request"),
        ],
        tests: &[at(
            "tests/completion_races.rs",
            "inline_and_later_take_turns",
        )],
        show: split_transfer::pending,
    },
    Technique {
        document: Class,
        name: "BuildRequest",
        asks: "For each piece a request block is set up",
        code: &[
            at("src/srb/mod.rs", "build_request"),
            at("src/srb/clone.rs", "write"),
        ],
        tests: &[
            at("tests/what_a_child_carries.rs", "the_request_block"),
            at(
                "tests/what_a_child_carries.rs",
                "the_extended_request_block",
            ),
            at("tests/srb_children.rs", "in_both_formats_and_every_layout"),
        ],
        show: split_transfer::request_blocks,
    },
    Technique {
        document: Class,
        name: "MDL and DataBuffer",
        asks: "`DataBuffer` of a piece is an offset into the MDL, which is the original's (here a partial MDL of it)",
        code: &[
            at("src/shape/mod.rs", "order"),
            at("crates/wdm/src/mdl.rs", "show"),
        ],
        tests: &[at(
            "tests/what_a_child_carries.rs",
            "its_data_is_part_of_the_parents_buffer",
        )],
        show: pieces::data_buffer,
    },
    Technique {
        document: Class,
        name: "IoCompletion routine",
        asks: "It is set before IoCallDriver, and gives the IRP and the request block of its piece back",
        code: &[
            at("crates/wdm/src/irp.rs", "send"),
            at("src/split/completion.rs", "piece_done"),
        ],
        tests: &[
            at(
                "tests/bounded_stack.rs",
                "a_hundred_thousand_inline_completions",
            ),
            at(
                "tests/nothing_is_allocated.rs",
                "with_every_kind_of_trouble",
            ),
        ],
        show: pieces::irps,
    },
    Technique {
        document: Class,
        name: "Interlocked count",
        asks: "The IoCompletion routines keep an accurate count of the pieces of the original",
        code: &[
            at("crates/core/src/pump.rs", "release"),
            at("src/split/completion.rs", "give_back"),
        ],
        tests: &[
            at("crates/core/tests/loom_pump.rs", "two_pieces_at_once"),
            at("tests/completion_races.rs", "on_real_processors"),
        ],
        show: pieces::counts,
    },
    Technique {
        document: Class,
        name: "The last piece",
        asks: "The original is completed when all requested data has been transferred",
        code: &[
            at("src/split/completion.rs", "complete"),
            at("crates/core/src/outcome.rs", "finish"),
        ],
        tests: &[
            at(
                "tests/completion_races.rs",
                "the_last_piece_comes_back_while_the_first_is_still_out",
            ),
            at(
                "tests/success_means_every_byte.rs",
                "every_placement_of_recovered_failed_and_unissued",
            ),
        ],
        show: pieces::last_piece,
    },
    Technique {
        document: Class,
        name: "Retries exhausted",
        asks: "Or it fails, when retries after device transfer errors are exhausted",
        code: &[
            at("crates/core/src/verdict.rs", "verdict"),
            at("src/split/completion.rs", "attempt_done"),
        ],
        tests: &[
            at(
                "tests/retries.rs",
                "three_further_attempts_and_then_its_error",
            ),
            at(
                "tests/a_failed_piece_fails_the_request.rs",
                "any_one_piece_with_any_error",
            ),
        ],
        show: split_transfer::retries,
    },
    Technique {
        document: Class,
        name: "Beneath a class driver",
        asks: "The class driver splits by the descriptor that it is shown; what it sends beyond is split beneath it",
        code: &[
            at("src/property.rs", "dispatch_device_control"),
            at("crates/core/src/advertise.rs", "choose"),
            at("src/shape/srb.rs", "read"),
        ],
        tests: &[
            at(
                "tests/disk_stack.rs",
                "told_the_truth_the_class_driver_leaves_nothing_to_split",
            ),
            at(
                "tests/disk_stack.rs",
                "told_what_the_adapter_says_the_class_driver_is_split_where_it_must",
            ),
        ],
        show: split_transfer::between_neighbours,
    },
];
