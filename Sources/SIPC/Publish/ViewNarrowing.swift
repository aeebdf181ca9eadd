/// Narrowing of views of text and binary values: which blocks of data they name, and which part of each.
extension BodyWalk {
    /// A value of at most so many bytes lies in its view.
    private static let inlineBytesMax = 12
    /// Values are gathered in a block of their own if they take less than one part in so many of the range they lie in, when the
    /// table is published…
    private static let gatheredShare = 16
    /// …and when it is written somewhere else.
    private static let gatheredShareExact = 2
    /// The greatest size of such a block, because offsets have 32 bits.
    private static let gatheredBytesMax = 1 << 30

    /// The part of one block of data that the values of a window name.
    private struct Block {
        var low = Int.max
        var high = 0
        /// The bytes of all values; a value that several views name counts as often.
        var valueBytes = 0

        var isNamed: Bool { low < high }
        var span: Int { isNamed ? high - low : 0 }
    }

    /// The views, and the blocks of data that they name.
    mutating func appendViews(_ node: ArrowNode, _ window: Window) throws(SIPCError) {
        guard window.count > 0 else {
            appendEmpty()
            return body.variadicCounts.append(0)
        }
        let lengths = try node.variadicLengths()
        guard let blocks = try blocks(node, window, lengths) else {
            try append(node, 1, window, width: 16)
            body.variadicCounts.append(Int64(lengths.count))
            for (index, length) in lengths.enumerated() { try append(node, 2 + index, bytes: 0..<length) }
            return
        }
        if let plan = rewriting(blocks, window) { return try appendRewritten(node, window, blocks, plan) }
        // A block without bytes keeps its number, and so do the others.
        try append(node, 1, window, width: 16)
        body.variadicCounts.append(Int64(lengths.count))
        for (index, block) in blocks.enumerated() {
            try append(node, 2 + index, bytes: block.isNamed ? 0..<block.high : 0..<0)
        }
    }

    /// The named part of each block; nil when views are not to be read, or when one leaves its block.
    private mutating func blocks(
        _ node: ArrowNode, _ window: Window, _ lengths: [Int]
    ) throws(SIPCError) -> [Block]? {
        if case .none = narrowing {
            hasViews = true
            return nil
        }
        let views = try node.buffer(1)
        var blocks = [Block](repeating: Block(), count: lengths.count)
        for slot in readable(window) {
            guard let view = Self.view(node, views, slot) else { continue }
            guard lengths.indices.contains(view.block), view.offset >= 0, view.bytes <= lengths[view.block],
                view.offset <= lengths[view.block] - view.bytes
            else { return nil }
            blocks[view.block].low = min(blocks[view.block].low, view.offset)
            blocks[view.block].high = max(blocks[view.block].high, view.offset + view.bytes)
            blocks[view.block].valueBytes += view.bytes
        }
        return blocks
    }

    /// Where a value's bytes are; nil for a null, and for a value that lies in its view.
    private static func view(
        _ node: ArrowNode, _ views: UnsafeRawPointer, _ slot: Int
    ) -> (block: Int, offset: Int, bytes: Int)? {
        let bytes = ArrowNode.number(views, 4 * slot, 4)
        if bytes >= 0 && bytes <= inlineBytesMax { return nil }
        if let validity = node.validity, !Bitmap.isSet(validity, slot) { return nil }
        // A length below 0 belongs to no value: such a view is taken to leave its block.
        return (
            ArrowNode.number(views, 4 * slot + 2, 4), ArrowNode.number(views, 4 * slot + 3, 4),
            bytes < 0 ? Int.max : bytes
        )
    }

    /// The fate of each block when the views are made anew: it is dropped, its values are gathered, or it gets a new number.
    private enum Fate {
        case dropped, gathered
        case kept(Int)
    }

    /// How the views would be made anew; nil when that is not worth it.
    private func rewriting(_ blocks: [Block], _ window: Window) -> [Fate]? {
        let isExact = if case .exact = narrowing { true } else { false }
        let share = isExact ? Self.gatheredShareExact : Self.gatheredShare
        var fates: [Fate] = []
        var kept = 0
        var saved = 0
        var gathered = 0
        for block in blocks {
            if !block.isNamed {
                fates.append(.dropped)
                // The bytes that the metadata and the references of a block take.
                saved += 40
            } else if block.valueBytes <= block.span / share, gathered + block.valueBytes <= Self.gatheredBytesMax {
                fates.append(.gathered)
                gathered += block.valueBytes
                saved += block.high
            } else {
                fates.append(.kept(kept))
                kept += 1
                saved += block.low
            }
        }
        let made = 16 * (window.skipped + window.count) + gathered
        let isWorth =
            switch narrowing {
            case .none, .free: false
            case .full: saved >= made
            case .exact: saved >= made / 4
            }
        return isWorth && saved > 0 ? fates : nil
    }

    private mutating func appendRewritten(
        _ node: ArrowNode, _ window: Window, _ blocks: [Block], _ fates: [Fate]
    ) throws(SIPCError) {
        var kept = 0
        var gatheredBytes = 0
        for (fate, block) in zip(fates, blocks) {
            switch fate {
            case .dropped: break
            case .gathered: gatheredBytes += block.valueBytes
            case .kept: kept += 1
            }
        }
        let gathered = gatheredBytes > 0 ? made.make(bytes: gatheredBytes) : nil
        let new = made.make(bytes: 16 * (window.skipped + window.count))
        let views = try node.buffer(1)
        var end = 0
        for slot in 0..<window.count {
            let from = window.start + slot
            if let validity = node.validity, !Bitmap.isSet(validity, from) { continue }
            let place = UnsafeMutableRawBufferPointer(rebasing: new[(16 * (window.skipped + slot))...].prefix(16))
            place.copyMemory(from: UnsafeRawBufferPointer(start: views + 16 * from, count: 16))
            guard let view = Self.view(node, views, from) else { continue }
            // The view is read a second time: somebody who changes the file meanwhile must do no more than change values.
            guard blocks.indices.contains(view.block), view.offset >= blocks[view.block].low,
                view.bytes <= blocks[view.block].span, view.offset <= blocks[view.block].high - view.bytes
            else {
                place.initializeMemory(as: UInt8.self, repeating: 0)
                continue
            }
            switch fates[view.block] {
            case .dropped: preconditionFailure("a block that a value is in is named")
            case .kept(let number):
                place.storeBytes(of: Int32(number), toByteOffset: 8, as: Int32.self)
                place.storeBytes(of: Int32(view.offset - blocks[view.block].low), toByteOffset: 12, as: Int32.self)
            case .gathered:
                guard let gathered, view.bytes <= gathered.count - end else {
                    place.initializeMemory(as: UInt8.self, repeating: 0)
                    continue
                }
                let value = UnsafeRawBufferPointer(
                    start: try node.buffer(2 + view.block) + view.offset, count: view.bytes)
                UnsafeMutableRawBufferPointer(rebasing: gathered[end...]).copyMemory(from: value)
                place.storeBytes(of: Int32(kept), toByteOffset: 8, as: Int32.self)
                place.storeBytes(of: Int32(end), toByteOffset: 12, as: Int32.self)
                end += view.bytes
            }
        }
        append(new, window, width: 16)
        body.variadicCounts.append(Int64(kept + (gathered == nil ? 0 : 1)))
        for (index, fate) in fates.enumerated() {
            if case .kept = fate { try append(node, 2 + index, bytes: blocks[index].low..<blocks[index].high) }
        }
        if let gathered { append(gathered) }
    }
}
