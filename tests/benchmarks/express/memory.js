// Bytes of heap that a session takes in express-session's MemoryStore: node --expose-gc memory.js HOW_MANY
'use strict'

const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const modules = process.env.BENCHMARK_MODULES
const session = require(require.resolve('express-session', { paths: [modules] }))

const text = fs.readFileSync(path.join(modules, 'payload.json'), 'utf8')
const many = Number(process.argv[2])
const store = new session.MemoryStore()
global.gc()
const before = process.memoryUsage().heapUsed
for (let i = 0; i < many; i++) {
  store.set(crypto.randomBytes(24).toString('base64url'), { cookie: new session.Cookie({ maxAge: null }), ...JSON.parse(text) })
}
setTimeout(() => {
  global.gc()
  console.log((process.memoryUsage().heapUsed - before) / many)
  store.length(() => {}) // the store must live until here
}, 50)
