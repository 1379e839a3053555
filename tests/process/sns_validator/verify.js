// Reads SNS posts, one JSON string a line, from standard input, and says for each what npm's
// sns-validator says. Two things are bent, and nothing of the signature: the certificate may lie on
// 127.0.0.1 (the validator's own hostPattern argument), and it is fetched over http (the
// validator insists on https; SigningCertURL is not part of what is signed).
'use strict';
const http = require('http');
const https = require('https');
const readline = require('readline');
const MessageValidator = require('sns-validator');

https.get = (url, answer) => http.get(url.replace(/^https:/, 'http:'), answer);
const validator = new MessageValidator(/^127\.0\.0\.1:\d+$/, 'utf8');
let turn = Promise.resolve();

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const post = JSON.parse(JSON.parse(line));
  post.SigningCertURL = post.SigningCertURL.replace(/^http:/, 'https:');
  turn = turn.then(() => new Promise((done) => validator.validate(post, (error) => {
    console.log(error ? 'refused: ' + error.message : 'accepted');
    done();
  })));
});
