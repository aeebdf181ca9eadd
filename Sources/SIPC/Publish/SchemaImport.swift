import CArrow

extension Schema {
    /// Reads the schema of a table from the C data interface. The caller keeps `raw` and releases it.
    ///
    /// Every dictionary gets an id of its own, in the order of the fields.
    init(importing raw: UnsafePointer<ArrowSchema>) throws(SIPCError) {
        guard raw.pointee.release != nil, let format = raw.pointee.format else {
            throw .invalidTable("the stream's schema was released or has no format")
        }
        guard String(cString: format) == "+s" else {
            throw .invalidTable(
                "the result is a stream of \(String(cString: format).prefix(40)) values and not of tables: "
                    + "return a table with named columns")
        }
        var dictionaryCount: Int64 = 0
        var fields: [Field] = []
        for child in try Field.children(of: raw) {
            fields.append(try Field(importing: child, dictionaryCount: &dictionaryCount, depth: 1))
        }
        self.init(fields: fields, metadata: Self.metadata(raw.pointee.metadata))
        try check()
    }

    /// The metadata of the C data interface: a count, then keys and values, each after its length, all native 32-bit.
    fileprivate static func metadata(_ pointer: UnsafePointer<CChar>?) -> [KeyValue] {
        guard let pointer else { return [] }
        var at = UnsafeRawPointer(pointer)
        func count() -> Int {
            defer { at += 4 }
            return max(0, Int(at.loadUnaligned(as: Int32.self)))
        }
        func bytes() -> [UInt8] {
            let length = count()
            defer { at += length }
            return Array(UnsafeRawBufferPointer(start: at, count: length))
        }
        return (0..<count()).map { _ in
            let key = bytes()
            return KeyValue(key: key, value: bytes())
        }
    }
}

extension Field {
    fileprivate static func children(
        of raw: UnsafePointer<ArrowSchema>
    ) throws(SIPCError) -> [UnsafePointer<ArrowSchema>] {
        let count = raw.pointee.n_children
        guard count >= 0, count == 0 || raw.pointee.children != nil else {
            throw .invalidTable("a field of the stream's schema lists children it does not have")
        }
        var children: [UnsafePointer<ArrowSchema>] = []
        for index in 0..<Int(count) {
            guard let child = raw.pointee.children[index] else {
                throw .invalidTable("child \(index) of a field of the stream's schema is missing")
            }
            children.append(UnsafePointer(child))
        }
        return children
    }

    fileprivate init(
        importing raw: UnsafePointer<ArrowSchema>, dictionaryCount: inout Int64, depth: Int
    ) throws(SIPCError) {
        guard depth <= Schema.depthMax else {
            throw .invalidTable("column types nest deeper than \(Schema.depthMax) levels")
        }
        guard let format = raw.pointee.format else {
            throw .invalidTable("a field of the stream's schema has no format")
        }
        let flags = raw.pointee.flags
        let type = try DataType(
            format: String(cString: format), flags: flags, mapKeysSorted: Int64(ARROW_FLAG_MAP_KEYS_SORTED))
        var children: [Field] = []
        for child in try Self.children(of: raw) {
            children.append(try Field(importing: child, dictionaryCount: &dictionaryCount, depth: depth + 1))
        }
        var dictionary: DictionaryField?
        if let values = raw.pointee.dictionary {
            let id = dictionaryCount
            dictionaryCount += 1
            dictionary = DictionaryField(
                id: id, ordered: flags & Int64(ARROW_FLAG_DICTIONARY_ORDERED) != 0,
                values: try Field(importing: values, dictionaryCount: &dictionaryCount, depth: depth + 1))
        }
        self.init(
            name: raw.pointee.name.map { String(cString: $0) } ?? "", nullable: flags & Int64(ARROW_FLAG_NULLABLE) != 0,
            type: type, children: children, dictionary: dictionary, metadata: Schema.metadata(raw.pointee.metadata))
    }
}
