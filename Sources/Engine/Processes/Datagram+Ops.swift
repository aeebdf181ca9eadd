// Written by Sources/Protocol/generate from protocol.json.

/// How much of anything is taken from outside.
enum Limit {
    /// Bytes of a message.
    static let messageBytesMax = 131_072
    /// Descriptors beside one message.
    static let descriptorsMax = 200
    /// Levels of arrays and objects in a message, or in a JSON file beside one.
    static let jsonDepthMax = 64
    /// Bytes of the JSON file of wants or decoded.
    static let jsonFileBytesMax = 1_048_576
    /// Values in that file or in a message: texts, keys among them, numbers, words, arrays and objects.
    static let jsonValuesMax = 262_144
    /// Bytes of a plan: the planner's answer, a client's call, and the report that it gets.
    static let planBytesMax = 67_108_864
    /// Levels of arrays and objects in a plan.
    static let planDepthMax = 256
    /// Values in the JSON of a plan: texts, keys among them, numbers, words, arrays and objects.
    static let planValuesMax = 8_388_608
    /// Models of a plan.
    static let planModelsMax = 100_000
    /// Bytes of the name of a model or an environment, and of a key.
    static let nameBytesMax = 1_024
    /// Bytes of a path, the kernel's PATH_MAX.
    static let pathBytesMax = 4_096
    /// Bytes of SIPC descriptors that any worker may send.
    static let descriptorBytesMin = 16_777_216
    /// A worker with a memory limit may send SIPC descriptors of that part of it, if that is more.
    static let descriptorMemoryParts = 8
    /// Bytes of the SIPC descriptors of one worker, whatever its limit.
    static let descriptorBytesMax = 1_073_741_824
    /// Messages decoded of one scan.
    static let decodedMessagesMax = 64
    /// Pieces that one scan gives.
    static let decodedPiecesMax = 4_096
    /// Files that one materialization makes of a table.
    static let tableFilesMax = 4_096
    /// Bytes of the JSON file of wrote.
    static let writtenBytesMax = 16_777_216
    /// Bytes of each text in a message that is shown to people; the rest is cut off.
    static let textBytesMax = 98_304
    /// Bytes of a text that a client is told; the rest is cut off.
    static let noteBytesMax = 20_000
    /// Messages of one worker, or of one zygote or client, before the engine looks at the others.
    static let messagesPerTurn = 64
    /// Printed lines of one worker before the engine looks at the others.
    static let linesPerTurn = 256
    /// Bytes of printed output of one worker before the engine looks at the others.
    static let outputBytesPerTurn = 65_536
    /// Bytes of a printed line; a longer one is cut into several.
    static let lineBytesMax = 16_384
    /// Clients of an engine; of more, the one without a run is cut off that has had none for longest.
    static let clientsMax = 256
    /// An engine has no more clients than that part of the descriptors it may have (RLIMIT_NOFILE), if that is less.
    static let clientDescriptorParts = 8
    /// Seconds that a client is connected without a call, or after its run.
    static let clientIdleSecondsMax = 10
    /// Printed lines that wait for a client that does not read; more are dropped, and it is told how many.
    static let queuedLinesMax = 10_000
    /// Bytes that wait for a client that does not read; it is cut off when there are more, which cancels its run.
    static let queuedBytesMax = 16_777_216
}

/// The names of messages, and of what is in them.
enum Op {
    /// What a zygote says.
    enum Zygote: String {
        case ready
        case forked
        case forkFailed = "fork-failed"
        case exited
    }

    /// What a zygote is told.
    enum ToZygote: String {
        case preload
        case fork
    }

    /// What a worker says.
    enum Worker: String {
        case started
        case running
        case wants
        case decoded
        case wantsFiles = "wants-files"
        case wantsRoom = "wants-room"
        case wrote
        case published
        case done
        case failed
    }

    /// What a worker is told.
    enum ToWorker: String {
        case segments
        case table
        case run
        case pieces
        case newFiles = "new-files"
        case room
        case taken
    }

    /// What a client says.
    enum Client: String {
        case run
        case cancel
        case planner
    }

    /// What a client is told.
    enum ToClient: String {
        case refused
        case began
        case modelStarted = "model-started"
        case printed
        case note
        case modelEnded = "model-ended"
        case memory
        case segments
        case table
        case ended
    }

    /// What a script is told.
    enum ToScript: String {
        case hello
        case began
        case modelStarted = "model-started"
        case printed
        case note
        case modelEnded = "model-ended"
        case segments
        case table
    }

    /// What the warm planner says.
    enum Planner: String {
        case ready
        case forked
        case exited
    }

    /// What the warm planner is told.
    enum ToPlanner: String {
        case client
        case plan
    }

    /// How the bytes of a result travelled: each byte is in exactly one.
    enum Count: String, CaseIterable, CodingKey {
        case resharedBytes = "reshared_bytes"
        case bornSharedBytes = "born_shared_bytes"
        case deanonymizedBytes = "deanonymized_bytes"
        case packedBytes = "packed_bytes"
        case copiedBytes = "copied_bytes"
    }

    /// How KernelZero moved the memory of a result.
    enum PageCount: String, CaseIterable, CodingKey {
        case ranges
        case refusedRanges = "refused_ranges"
        case refusal
        case movedPages = "moved_pages"
        case movedHugePages = "moved_huge_pages"
        case movedSwapPages = "moved_swap_pages"
        case holePages = "hole_pages"
        case copiedEdgePages = "copied_edge_pages"
        case copiedSharedPages = "copied_shared_pages"
        case copiedPinnedPages = "copied_pinned_pages"
        case copiedOtherPages = "copied_other_pages"
    }

    /// What a scan had from DeCache, and gave to it.
    enum DeCacheCount: String, CaseIterable, CodingKey {
        case wantedUnits = "wanted_units"
        case reusedUnits = "reused_units"
        case decodedUnits = "decoded_units"
        case piecesBytes = "pieces_bytes"
    }

    /// Where a worker's time went.
    enum Timing: String, CaseIterable, CodingKey {
        case openMs = "open_ms"
        case userMs = "user_ms"
        case publishMs = "publish_ms"
        case userAtMs = "user_at_ms"
        case publishAtMs = "publish_at_ms"
    }
}
