// Express for the benchmark: node server.js PORT [memory | redis://...]. The same four pages as the Python apps in http_apps.py.
'use strict'

const fs = require('fs')
const path = require('path')
const modules = process.env.BENCHMARK_MODULES
const load = (name) => require(require.resolve(name, { paths: [modules] }))
const express = load('express')

const data = JSON.parse(fs.readFileSync(path.join(modules, 'payload.json'), 'utf8'))
const [port, place] = process.argv.slice(2)
const app = express()
if (place) {
  const session = load('express-session')
  const options = { secret: 'benchmark-secret-of-more-than-32-bytes', resave: false, saveUninitialized: false }
  if (place !== 'memory') {
    const client = load('redis').createClient({ url: place })
    client.connect()
    options.store = new (load('connect-redis').RedisStore)({ client })
  }
  app.use(session(options))
} else {
  const one = structuredClone(data)
  app.use((req, res, next) => { req.session = one; next() })
}
app.get('/nothing', (req, res) => { res.type('text').send('0') })
app.get('/read', (req, res) => { res.type('text').send(String(req.session.count)) })
app.get('/write', (req, res) => { req.session.count += 1; res.type('text').send(String(req.session.count)) })
app.get('/fill', (req, res) => { Object.assign(req.session, structuredClone(data)); res.type('text').send('0') })
app.listen(Number(port), '127.0.0.1')
