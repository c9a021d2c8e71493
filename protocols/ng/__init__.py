"""The ng protocol, by which rtpengine is told of calls: dictionaries in bencoding, by datagrams."""
