// Express apps with sessions, flash messages and passport, as small JSON routes: the one half of the interop tests.
// Usage: node app.js PORT. It serves no app by itself: POST /apps with options as JSON starts one in this process and
// answers with its port. `options.py` says what the options mean.
"use strict";

const { createHash } = require("node:crypto");
const express = require("express");
const session = require("express-session");
const flash = require("connect-flash");
const passport = require("passport");
const { MongoStore, createWebCryptoAdapter } = require("connect-mongo");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");

const hashed = (sid) => createHash("sha256").update(sid).digest("hex");

async function openStore(options) {
  if (options.store === "mongo") {
    return MongoStore.create({
      mongoUrl: options.url,
      dbName: options.database,
      ttl: options.ttl,
      stringify: options.stringify,
      touchAfter: options.touchAfter,
      ...(options.transformId ? { transformId: hashed } : {}),
      ...(options.crypto ? { crypto: options.crypto } : {}),
      ...(options.webCrypto ? { cryptoAdapter: createWebCryptoAdapter(options.webCrypto) } : {}),
    });
  }
  const client = createClient({ url: options.url });
  await client.connect();
  return new RedisStore({ client, prefix: options.prefix, ttl: options.ttl });
}

// Stands for any JSON that an application keeps as the identity of its user.
passport.serializeUser((user, done) => done(null, user));
passport.deserializeUser((user, done) => done(null, user));

function routes(app) {
  app.get("/session", (req, res) => {
    const { cookie, ...data } = req.session;
    res.json(data);
  });

  app.get("/age", (req, res) => res.json(req.session.cookie.originalMaxAge / 1000 || null));

  app.get("/id", (req, res) => res.json(req.sessionID));

  app.get("/whoami", (req, res) => res.json(req.user ?? null));

  app.post("/login", (req, res, next) => {
    req.login(req.body.user, (error) => (error ? next(error) : res.json(req.user)));
  });

  app.post("/logout", (req, res, next) => {
    req.logout((error) => (error ? next(error) : res.json(null)));
  });

  app.post("/counter", (req, res) => {
    req.session.count = (req.session.count ?? 0) + 1;
    res.json(req.session.count);
  });

  app.post("/cart/add", (req, res) => {
    const { sku, quantity } = req.body;
    req.session.cart ??= { lines: [] };
    const line = req.session.cart.lines.find((each) => each.sku === sku);
    if (line) line.quantity += quantity;
    else req.session.cart.lines.push({ sku, quantity });
    res.json(req.session.cart);
  });

  app.post("/cart/remove", (req, res) => {
    const { cart } = req.session;
    if (cart) cart.lines = cart.lines.filter((each) => each.sku !== req.body.sku);
    res.json(cart ?? null);
  });

  app.post("/flash", (req, res) => res.json(req.flash(req.body.category, req.body.messages)));

  app.post("/flash/drain", (req, res) => {
    res.json(req.body.category === null ? req.flash() : req.flash(req.body.category));
  });

  // A change of the cookie alone is none to express-session, so the choice is kept beside it.
  app.post("/remember", (req, res) => {
    const { seconds } = req.body;
    req.session.cookie.maxAge = seconds === null ? null : seconds * 1000;
    req.session.remember = seconds;
    res.json(seconds);
  });

  app.post("/regenerate", (req, res, next) => {
    req.session.regenerate((error) => (error ? next(error) : res.json(null)));
  });

  app.post("/destroy", (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json(null)));
  });

  app.post("/put", (req, res) => {
    req.session[req.body.key] = req.body.value;
    res.json(req.body.value);
  });

  // Express only: JSON has no dates, a MongoDB document does.
  app.post("/date", (req, res) => {
    req.session[req.body.key] = new Date(req.body.iso);
    res.json(null);
  });

  app.post("/remove", (req, res) => {
    delete req.session[req.body.key];
    res.json(null);
  });
}

async function build(options) {
  const app = express();
  app.use(express.json({ limit: "8mb" }));
  app.use(
    session({
      store: await openStore(options),
      secret: options.secrets,
      name: options.name,
      cookie: options.cookie,
      resave: options.resave,
      rolling: options.rolling,
      saveUninitialized: false,
    }),
  );
  app.use(flash());
  app.use(passport.session());
  routes(app);
  app.use((error, req, res, next) => {
    if (res.headersSent) next(error);
    else res.status(500).json(String(error));
  });
  return app;
}

function listen(app, port, ready) {
  const server = app.listen(port, "127.0.0.1", (error) => {
    if (error) throw error;
    ready(server.address().port);
  });
}

const control = express();
control.get("/healthz", (req, res) => res.json("ok"));
control.post("/apps", express.json(), async (req, res) => {
  listen(await build(req.body), 0, (port) => res.json(port));
});
listen(control, Number(process.argv[2]), (port) => console.log(port));
